-- Evaluation datasets, scorers, issues, and the queues in which people review traces.

CREATE TABLE evaluation_datasets (
    dataset_id       VARCHAR(36) NOT NULL,
    name             VARCHAR(255) NOT NULL,
    schema           TEXT,
    profile          TEXT,
    digest           VARCHAR(64),
    created_time     BIGINT,
    last_update_time BIGINT,
    created_by       VARCHAR(255),
    last_updated_by  VARCHAR(255),
    workspace        VARCHAR(63) DEFAULT 'default' NOT NULL,
    CONSTRAINT evaluation_datasets_pk PRIMARY KEY (dataset_id)
);
CREATE INDEX idx_evaluation_datasets_workspace ON evaluation_datasets (workspace);
CREATE INDEX index_evaluation_datasets_created_time ON evaluation_datasets (created_time);
CREATE INDEX index_evaluation_datasets_name ON evaluation_datasets (name);

CREATE TABLE evaluation_dataset_records (
    dataset_record_id VARCHAR(36) NOT NULL,
    dataset_id        VARCHAR(36) NOT NULL,
    inputs            JSON NOT NULL,
    expectations      JSON,
    tags              JSON,
    source            JSON,
    source_id         VARCHAR(36),
    source_type       VARCHAR(255),
    created_time      BIGINT,
    last_update_time  BIGINT,
    created_by        VARCHAR(255),
    last_updated_by   VARCHAR(255),
    input_hash        VARCHAR(64) NOT NULL,
    outputs           JSON,
    CONSTRAINT evaluation_dataset_records_pk PRIMARY KEY (dataset_record_id),
    CONSTRAINT unique_dataset_input UNIQUE (dataset_id, input_hash),
    CONSTRAINT fk_evaluation_dataset_records_dataset_id FOREIGN KEY (dataset_id)
        REFERENCES evaluation_datasets (dataset_id) ON DELETE CASCADE
);
CREATE INDEX index_evaluation_dataset_records_dataset_id ON evaluation_dataset_records (dataset_id);

CREATE TABLE evaluation_dataset_tags (
    dataset_id VARCHAR(36) NOT NULL,
    key        VARCHAR(255) NOT NULL,
    value      VARCHAR(5000),
    CONSTRAINT evaluation_dataset_tags_pk PRIMARY KEY (dataset_id, key),
    CONSTRAINT fk_evaluation_dataset_tags_dataset_id FOREIGN KEY (dataset_id)
        REFERENCES evaluation_datasets (dataset_id) ON DELETE CASCADE
);
CREATE INDEX index_evaluation_dataset_tags_dataset_id ON evaluation_dataset_tags (dataset_id);

CREATE TABLE entity_associations (
    association_id   VARCHAR(36) NOT NULL,
    source_type      VARCHAR(36) NOT NULL,
    source_id        VARCHAR(36) NOT NULL,
    destination_type VARCHAR(36) NOT NULL,
    destination_id   VARCHAR(36) NOT NULL,
    created_time     BIGINT,
    CONSTRAINT entity_associations_pk PRIMARY KEY (source_type, source_id, destination_type, destination_id)
);
CREATE INDEX index_entity_associations_association_id ON entity_associations (association_id);
CREATE INDEX index_entity_associations_reverse_lookup
    ON entity_associations (destination_type, destination_id, source_type, source_id);

CREATE TABLE scorers (
    experiment_id INTEGER NOT NULL,
    scorer_name   VARCHAR(256) NOT NULL,
    scorer_id     VARCHAR(36) NOT NULL,
    CONSTRAINT scorer_pk PRIMARY KEY (scorer_id),
    CONSTRAINT fk_scorers_experiment_id FOREIGN KEY (experiment_id)
        REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX index_scorers_experiment_id_scorer_name ON scorers (experiment_id, scorer_name);

CREATE TABLE scorer_versions (
    scorer_id         VARCHAR(36) NOT NULL,
    scorer_version    INTEGER NOT NULL,
    serialized_scorer TEXT NOT NULL,
    creation_time     BIGINT,
    CONSTRAINT scorer_version_pk PRIMARY KEY (scorer_id, scorer_version),
    CONSTRAINT fk_scorer_versions_scorer_id FOREIGN KEY (scorer_id)
        REFERENCES scorers (scorer_id) ON DELETE CASCADE
);
CREATE INDEX index_scorer_versions_scorer_id ON scorer_versions (scorer_id);

CREATE TABLE online_scoring_configs (
    online_scoring_config_id VARCHAR(36) NOT NULL,
    scorer_id                VARCHAR(36) NOT NULL,
    sample_rate              FLOAT NOT NULL,
    experiment_id            INTEGER NOT NULL,
    filter_string            TEXT,
    CONSTRAINT online_scoring_config_pk PRIMARY KEY (online_scoring_config_id),
    CONSTRAINT fk_online_scoring_configs_experiment_id FOREIGN KEY (experiment_id)
        REFERENCES experiments (experiment_id),
    CONSTRAINT fk_online_scoring_configs_scorer_id FOREIGN KEY (scorer_id)
        REFERENCES scorers (scorer_id) ON DELETE CASCADE
);

CREATE TABLE issues (
    issue_id               VARCHAR(36) NOT NULL,
    experiment_id          INTEGER NOT NULL,
    name                   VARCHAR(250) NOT NULL,
    description            TEXT NOT NULL,
    status                 VARCHAR(50) NOT NULL,
    severity               VARCHAR(50),
    root_causes            TEXT,
    source_run_id          VARCHAR(32),
    categories             TEXT,
    created_timestamp      BIGINT NOT NULL,
    last_updated_timestamp BIGINT NOT NULL,
    created_by             VARCHAR(255),
    last_seen_timestamp    BIGINT,
    last_updated_by        VARCHAR(255),
    metadata               TEXT,
    CONSTRAINT issues_pk PRIMARY KEY (issue_id),
    CONSTRAINT fk_issues_experiment_id FOREIGN KEY (experiment_id)
        REFERENCES experiments (experiment_id) ON DELETE CASCADE,
    CONSTRAINT fk_issues_source_run_id FOREIGN KEY (source_run_id)
        REFERENCES runs (run_uuid) ON DELETE SET NULL
);
CREATE INDEX index_issues_experiment_id ON issues (experiment_id);
CREATE INDEX index_issues_experiment_last_seen ON issues (experiment_id, last_seen_timestamp);
CREATE INDEX index_issues_experiment_updated ON issues (experiment_id, last_updated_timestamp);
CREATE INDEX index_issues_source_run_id ON issues (source_run_id);
CREATE INDEX index_issues_status ON issues (status);

CREATE TABLE issue_categories (
    issue_id      VARCHAR(36) NOT NULL,
    category_hash VARCHAR(64) NOT NULL,
    category      TEXT NOT NULL,
    CONSTRAINT issue_categories_pk PRIMARY KEY (issue_id, category_hash),
    CONSTRAINT fk_issue_categories_issue_id FOREIGN KEY (issue_id)
        REFERENCES issues (issue_id) ON DELETE CASCADE
);
CREATE INDEX index_issue_categories_hash ON issue_categories (category_hash);

CREATE TABLE label_schemas (
    schema_id        VARCHAR(36) NOT NULL,
    experiment_id    INTEGER NOT NULL,
    name             VARCHAR(250) NOT NULL,
    type             VARCHAR(16) NOT NULL,
    instruction      TEXT,
    enable_comment   BOOLEAN DEFAULT '0' NOT NULL,
    input_type       VARCHAR(32) NOT NULL,
    input_config     TEXT NOT NULL,
    created_by       VARCHAR(255),
    created_time     BIGINT NOT NULL,
    last_update_time BIGINT NOT NULL,
    is_default       BOOLEAN DEFAULT false NOT NULL,  -- postgresql only
    is_default       BOOLEAN DEFAULT 0 NOT NULL,      -- sqlite only
    CONSTRAINT label_schemas_pk PRIMARY KEY (schema_id),
    CONSTRAINT uq_label_schemas_exp_name UNIQUE (experiment_id, name),
    CONSTRAINT fk_label_schemas_experiment_id FOREIGN KEY (experiment_id)
        REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
CREATE INDEX index_label_schemas_experiment_id ON label_schemas (experiment_id);

CREATE TABLE review_queues (
    queue_id            VARCHAR(36) NOT NULL,
    experiment_id       INTEGER NOT NULL,
    name                VARCHAR(250) NOT NULL,
    queue_type          VARCHAR(16) NOT NULL,
    created_by          VARCHAR(255),
    creation_time_ms    BIGINT NOT NULL,
    last_update_time_ms BIGINT NOT NULL,
    name_key            VARCHAR(250) NOT NULL,
    CONSTRAINT review_queues_pk PRIMARY KEY (queue_id),
    CONSTRAINT uq_review_queues_experiment_name_key UNIQUE (experiment_id, name_key),
    CONSTRAINT fk_review_queues_experiment_id FOREIGN KEY (experiment_id)
        REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
CREATE INDEX index_review_queues_experiment_id ON review_queues (experiment_id);

CREATE TABLE review_queue_users (
    queue_id VARCHAR(36) NOT NULL,
    user_id  VARCHAR(250) NOT NULL,
    CONSTRAINT review_queue_users_pk PRIMARY KEY (queue_id, user_id),
    CONSTRAINT fk_review_queue_users_queue_id FOREIGN KEY (queue_id)
        REFERENCES review_queues (queue_id) ON DELETE CASCADE
);
CREATE INDEX index_review_queue_users_user_id ON review_queue_users (user_id);

CREATE TABLE review_queue_items (
    queue_id            VARCHAR(36) NOT NULL,
    item_type           VARCHAR(16) NOT NULL,
    item_id             VARCHAR(50) NOT NULL,
    status              VARCHAR(16) NOT NULL,
    completed_by        VARCHAR(250),
    completed_time_ms   BIGINT,
    creation_time_ms    BIGINT NOT NULL,
    last_update_time_ms BIGINT NOT NULL,
    CONSTRAINT review_queue_items_pk PRIMARY KEY (queue_id, item_id),
    CONSTRAINT fk_review_queue_items_queue_id FOREIGN KEY (queue_id)
        REFERENCES review_queues (queue_id) ON DELETE CASCADE
);
CREATE INDEX index_review_queue_items_item_id ON review_queue_items (item_id);
CREATE INDEX index_review_queue_items_queue_id_status ON review_queue_items (queue_id, status);

CREATE TABLE review_queue_label_schemas (
    queue_id  VARCHAR(36) NOT NULL,
    schema_id VARCHAR(36) NOT NULL,
    CONSTRAINT review_queue_label_schemas_pk PRIMARY KEY (queue_id, schema_id),
    CONSTRAINT fk_review_queue_label_schemas_queue_id FOREIGN KEY (queue_id)
        REFERENCES review_queues (queue_id) ON DELETE CASCADE
);
CREATE INDEX index_review_queue_label_schemas_schema_id ON review_queue_label_schemas (schema_id);
