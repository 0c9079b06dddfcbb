-- The AI gateway: secrets, models and the endpoints that offer them, guardrails and budgets.

CREATE TABLE secrets (
    secret_id       VARCHAR(36) NOT NULL,
    secret_name     VARCHAR(255) NOT NULL,
    encrypted_value BYTEA NOT NULL,  -- postgresql only
    wrapped_dek     BYTEA NOT NULL,  -- postgresql only
    encrypted_value BLOB NOT NULL,   -- sqlite only
    wrapped_dek     BLOB NOT NULL,   -- sqlite only
    kek_version     INTEGER NOT NULL,
    masked_value    VARCHAR(500) NOT NULL,
    provider        VARCHAR(64),
    auth_config     TEXT,
    description     TEXT,
    created_by      VARCHAR(255),
    created_at      BIGINT NOT NULL,
    last_updated_by VARCHAR(255),
    last_updated_at BIGINT NOT NULL,
    workspace       VARCHAR(63) DEFAULT 'default' NOT NULL,
    CONSTRAINT secrets_pk PRIMARY KEY (secret_id),
    CONSTRAINT uq_secrets_workspace_secret_name UNIQUE (workspace, secret_name)
);
CREATE INDEX idx_secrets_workspace ON secrets (workspace);

CREATE TABLE model_definitions (
    model_definition_id VARCHAR(36) NOT NULL,
    name                VARCHAR(255) NOT NULL,
    secret_id           VARCHAR(36),
    provider            VARCHAR(64) NOT NULL,
    model_name          VARCHAR(256) NOT NULL,
    created_by          VARCHAR(255),
    created_at          BIGINT NOT NULL,
    last_updated_by     VARCHAR(255),
    last_updated_at     BIGINT NOT NULL,
    workspace           VARCHAR(63) DEFAULT 'default' NOT NULL,
    CONSTRAINT model_definitions_pk PRIMARY KEY (model_definition_id),
    CONSTRAINT uq_model_definitions_workspace_name UNIQUE (workspace, name),
    CONSTRAINT fk_model_definitions_secret_id FOREIGN KEY (secret_id)
        REFERENCES secrets (secret_id) ON DELETE SET NULL
);
CREATE INDEX idx_model_definitions_workspace ON model_definitions (workspace);
CREATE INDEX index_model_definitions_provider ON model_definitions (provider);
CREATE INDEX index_model_definitions_secret_id ON model_definitions (secret_id);

CREATE TABLE endpoints (
    endpoint_id          VARCHAR(36) NOT NULL,
    name                 VARCHAR(255),
    created_by           VARCHAR(255),
    created_at           BIGINT NOT NULL,
    last_updated_by      VARCHAR(255),
    last_updated_at      BIGINT NOT NULL,
    routing_strategy     VARCHAR(64),
    fallback_config_json TEXT,
    experiment_id        INTEGER,
    usage_tracking       BOOLEAN DEFAULT '0' NOT NULL,
    workspace            VARCHAR(63) DEFAULT 'default' NOT NULL,
    CONSTRAINT endpoints_pk PRIMARY KEY (endpoint_id),
    CONSTRAINT uq_endpoints_workspace_name UNIQUE (workspace, name),
    CONSTRAINT fk_endpoints_experiment_id FOREIGN KEY (experiment_id)
        REFERENCES experiments (experiment_id) ON DELETE SET NULL
);
CREATE INDEX idx_endpoints_workspace ON endpoints (workspace);

CREATE TABLE endpoint_model_mappings (
    mapping_id          VARCHAR(36) NOT NULL,
    endpoint_id         VARCHAR(36) NOT NULL,
    model_definition_id VARCHAR(36) NOT NULL,
    weight              FLOAT NOT NULL,
    created_by          VARCHAR(255),
    created_at          BIGINT NOT NULL,
    linkage_type        VARCHAR(64) DEFAULT 'PRIMARY' NOT NULL,
    fallback_order      INTEGER,
    CONSTRAINT endpoint_model_mappings_pk PRIMARY KEY (mapping_id),
    CONSTRAINT fk_endpoint_model_mappings_endpoint_id FOREIGN KEY (endpoint_id)
        REFERENCES endpoints (endpoint_id) ON DELETE CASCADE,
    CONSTRAINT fk_endpoint_model_mappings_model_definition_id FOREIGN KEY (model_definition_id)
        REFERENCES model_definitions (model_definition_id)
);
CREATE INDEX index_endpoint_model_mappings_endpoint_id ON endpoint_model_mappings (endpoint_id);
CREATE INDEX index_endpoint_model_mappings_model_definition_id
    ON endpoint_model_mappings (model_definition_id);
CREATE UNIQUE INDEX unique_endpoint_model_linkage_mapping
    ON endpoint_model_mappings (endpoint_id, model_definition_id, linkage_type);

CREATE TABLE endpoint_bindings (
    endpoint_id     VARCHAR(36) NOT NULL,
    resource_type   VARCHAR(50) NOT NULL,
    resource_id     VARCHAR(255) NOT NULL,
    created_at      BIGINT NOT NULL,
    created_by      VARCHAR(255),
    last_updated_at BIGINT NOT NULL,
    last_updated_by VARCHAR(255),
    display_name    VARCHAR(255),
    CONSTRAINT endpoint_bindings_pk PRIMARY KEY (endpoint_id, resource_type, resource_id),
    CONSTRAINT fk_endpoint_bindings_endpoint_id FOREIGN KEY (endpoint_id)
        REFERENCES endpoints (endpoint_id) ON DELETE CASCADE
);

CREATE TABLE endpoint_tags (
    key         VARCHAR(250) NOT NULL,
    value       VARCHAR(5000),
    endpoint_id VARCHAR(36) NOT NULL,
    CONSTRAINT endpoint_tag_pk PRIMARY KEY (key, endpoint_id),
    CONSTRAINT fk_endpoint_tags_endpoint_id FOREIGN KEY (endpoint_id)
        REFERENCES endpoints (endpoint_id) ON DELETE CASCADE
);
CREATE INDEX index_endpoint_tags_endpoint_id ON endpoint_tags (endpoint_id);

CREATE TABLE guardrails (
    guardrail_id       VARCHAR(36) NOT NULL,
    name               VARCHAR(255) NOT NULL,
    scorer_id          VARCHAR(36) NOT NULL,
    scorer_version     INTEGER NOT NULL,
    stage              VARCHAR(32) NOT NULL,
    action             VARCHAR(32) NOT NULL,
    action_endpoint_id VARCHAR(36),
    created_by         VARCHAR(255),
    created_at         BIGINT NOT NULL,
    last_updated_by    VARCHAR(255),
    last_updated_at    BIGINT NOT NULL,
    workspace          VARCHAR(63) DEFAULT 'default' NOT NULL,
    CONSTRAINT guardrails_pk PRIMARY KEY (guardrail_id),
    CONSTRAINT fk_guardrails_action_endpoint_id FOREIGN KEY (action_endpoint_id)
        REFERENCES endpoints (endpoint_id) ON DELETE SET NULL,
    CONSTRAINT fk_guardrails_scorer_version FOREIGN KEY (scorer_id, scorer_version)
        REFERENCES scorer_versions (scorer_id, scorer_version)
);
CREATE INDEX idx_guardrails_scorer ON guardrails (scorer_id, scorer_version);
CREATE INDEX idx_guardrails_workspace ON guardrails (workspace);

CREATE TABLE guardrail_configs (
    endpoint_id     VARCHAR(36) NOT NULL,
    guardrail_id    VARCHAR(36) NOT NULL,
    execution_order INTEGER,
    created_by      VARCHAR(255),
    created_at      BIGINT NOT NULL,
    workspace       VARCHAR(63) DEFAULT 'default' NOT NULL,
    CONSTRAINT guardrail_configs_pk PRIMARY KEY (endpoint_id, guardrail_id),
    CONSTRAINT fk_guardrail_configs_endpoint_id FOREIGN KEY (endpoint_id)
        REFERENCES endpoints (endpoint_id) ON DELETE CASCADE,
    CONSTRAINT fk_guardrail_configs_guardrail_id FOREIGN KEY (guardrail_id)
        REFERENCES guardrails (guardrail_id) ON DELETE CASCADE
);
CREATE INDEX idx_guardrail_configs_endpoint_id ON guardrail_configs (endpoint_id);
CREATE INDEX idx_guardrail_configs_guardrail_id ON guardrail_configs (guardrail_id);

CREATE TABLE budget_policies (
    budget_policy_id VARCHAR(36) NOT NULL,
    budget_unit      VARCHAR(32) NOT NULL,
    budget_amount    FLOAT NOT NULL,
    duration_unit    VARCHAR(32) NOT NULL,
    duration_value   INTEGER NOT NULL,
    target_scope     VARCHAR(32) NOT NULL,
    budget_action    VARCHAR(32) NOT NULL,
    created_by       VARCHAR(255),
    created_at       BIGINT NOT NULL,
    last_updated_by  VARCHAR(255),
    last_updated_at  BIGINT NOT NULL,
    workspace        VARCHAR(63) DEFAULT 'default' NOT NULL,
    target_value     VARCHAR(255),
    CONSTRAINT budget_policies_pk PRIMARY KEY (budget_policy_id)
);
CREATE INDEX idx_budget_policies_target_value ON budget_policies (target_value);
CREATE INDEX idx_budget_policies_workspace ON budget_policies (workspace);
