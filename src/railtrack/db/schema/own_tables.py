"""Railtrack's tables, all named `railtrack_*`, created at the start if they are missing. MLflow ignores them.

None refers to a table of MLflow's: a foreign key would block MLflow's migrations.
"""

from railtrack.db import Tx

STATEMENTS = (
    # Pending webhook deliveries. `due_ms` is when the next attempt may begin; a process that begins one moves it on.
    """
    CREATE TABLE IF NOT EXISTS railtrack_webhook_deliveries (
        delivery_id VARCHAR(36) NOT NULL,
        webhook_id  VARCHAR(256) NOT NULL,
        payload     TEXT NOT NULL,
        created_ms  BIGINT NOT NULL,
        attempts    INTEGER NOT NULL,
        due_ms      BIGINT NOT NULL,
        CONSTRAINT railtrack_webhook_deliveries_pk PRIMARY KEY (delivery_id)
    )
    """,
    "CREATE INDEX IF NOT EXISTS railtrack_webhook_deliveries_due ON railtrack_webhook_deliveries (due_ms)",
    "CREATE INDEX IF NOT EXISTS railtrack_webhook_deliveries_webhook ON railtrack_webhook_deliveries (webhook_id)",
    # Users. Without a password hash, a user logs in by token only.
    """
    CREATE TABLE IF NOT EXISTS railtrack_users (
        user_id              {identity},
        username             VARCHAR(255) NOT NULL,
        password_hash        VARCHAR(255),
        is_admin             BOOLEAN NOT NULL,
        is_disabled          BOOLEAN NOT NULL,
        must_change_password BOOLEAN NOT NULL,
        created_ms           BIGINT NOT NULL,
        CONSTRAINT railtrack_users_username UNIQUE (username)
    )
    """,
    # API tokens, by the SHA-256 of their 256 random bits. `hint`: the first characters, by which people know a token.
    """
    CREATE TABLE IF NOT EXISTS railtrack_tokens (
        token_id     {identity},
        user_id      BIGINT NOT NULL,
        name         VARCHAR(255) NOT NULL,
        hint         VARCHAR(16) NOT NULL,
        token_hash   VARCHAR(64) NOT NULL,
        scope        VARCHAR(600) NOT NULL,
        created_ms   BIGINT NOT NULL,
        expires_ms   BIGINT,
        last_used_ms BIGINT,
        revoked_ms   BIGINT,
        CONSTRAINT railtrack_tokens_hash UNIQUE (token_hash),
        CONSTRAINT railtrack_tokens_user FOREIGN KEY (user_id) REFERENCES railtrack_users (user_id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX IF NOT EXISTS railtrack_tokens_user_id ON railtrack_tokens (user_id)",
    # Logins of browsers, by the SHA-256 of the cookie's 256 random bits.
    """
    CREATE TABLE IF NOT EXISTS railtrack_sessions (
        session_hash VARCHAR(64) NOT NULL,
        user_id      BIGINT NOT NULL,
        created_ms   BIGINT NOT NULL,
        last_seen_ms BIGINT NOT NULL,
        expires_ms   BIGINT NOT NULL,
        address      VARCHAR(64) NOT NULL,
        user_agent   VARCHAR(255) NOT NULL,
        CONSTRAINT railtrack_sessions_pk PRIMARY KEY (session_hash),
        CONSTRAINT railtrack_sessions_user FOREIGN KEY (user_id) REFERENCES railtrack_users (user_id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX IF NOT EXISTS railtrack_sessions_user_id ON railtrack_sessions (user_id)",
    # Users by their subject at an OpenID Connect provider, which names them for ever; e-mail addresses change hands.
    """
    CREATE TABLE IF NOT EXISTS railtrack_oidc_users (
        issuer     VARCHAR(500) NOT NULL,
        subject    VARCHAR(255) NOT NULL,
        user_id    BIGINT NOT NULL,
        created_ms BIGINT NOT NULL,
        CONSTRAINT railtrack_oidc_users_pk PRIMARY KEY (issuer, subject),
        CONSTRAINT railtrack_oidc_users_user FOREIGN KEY (user_id) REFERENCES railtrack_users (user_id)
            ON DELETE CASCADE
    )
    """,
    "CREATE INDEX IF NOT EXISTS railtrack_oidc_users_user_id ON railtrack_oidc_users (user_id)",
    # Sessions that began at the provider, with the ID token by which the logout ends the one there, too.
    """
    CREATE TABLE IF NOT EXISTS railtrack_oidc_sessions (
        session_hash VARCHAR(64) NOT NULL,
        id_token     TEXT NOT NULL,
        CONSTRAINT railtrack_oidc_sessions_pk PRIMARY KEY (session_hash),
        CONSTRAINT railtrack_oidc_sessions_session FOREIGN KEY (session_hash)
            REFERENCES railtrack_sessions (session_hash) ON DELETE CASCADE
    )
    """,
    # Roles. One named `__user_<id>__` holds the grants of a single user.
    """
    CREATE TABLE IF NOT EXISTS railtrack_roles (
        role_id     {identity},
        name        VARCHAR(255) NOT NULL,
        workspace   VARCHAR(63) NOT NULL,
        description VARCHAR(1024),
        CONSTRAINT railtrack_roles_name UNIQUE (workspace, name)
    )
    """,
    # What a role permits, by resource type and id. The id `*` means all resources of the type.
    """
    CREATE TABLE IF NOT EXISTS railtrack_role_permissions (
        permission_id    {identity},
        role_id          BIGINT NOT NULL,
        resource_type    VARCHAR(64) NOT NULL,
        resource_pattern VARCHAR(512) NOT NULL,
        permission       VARCHAR(16) NOT NULL,
        CONSTRAINT railtrack_role_permissions_resource UNIQUE (role_id, resource_type, resource_pattern),
        CONSTRAINT railtrack_role_permissions_role FOREIGN KEY (role_id) REFERENCES railtrack_roles (role_id)
            ON DELETE CASCADE
    )
    """,
    """
    CREATE INDEX IF NOT EXISTS railtrack_role_permissions_pattern
    ON railtrack_role_permissions (resource_pattern, resource_type)
    """,
    """
    CREATE TABLE IF NOT EXISTS railtrack_role_assignments (
        assignment_id {identity},
        user_id       BIGINT NOT NULL,
        role_id       BIGINT NOT NULL,
        CONSTRAINT railtrack_role_assignments_user_role UNIQUE (user_id, role_id),
        CONSTRAINT railtrack_role_assignments_user FOREIGN KEY (user_id) REFERENCES railtrack_users (user_id)
            ON DELETE CASCADE,
        CONSTRAINT railtrack_role_assignments_role FOREIGN KEY (role_id) REFERENCES railtrack_roles (role_id)
            ON DELETE CASCADE
    )
    """,
    "CREATE INDEX IF NOT EXISTS railtrack_role_assignments_role_id ON railtrack_role_assignments (role_id)",
    # The audit log. `count`: how many equal events an entry is for, from `time_ms` on.
    """
    CREATE TABLE IF NOT EXISTS railtrack_audit_log (
        entry_id      {identity},
        time_ms       BIGINT NOT NULL,
        is_denied     BOOLEAN NOT NULL,
        user_id       BIGINT,
        username      VARCHAR(255) NOT NULL,
        credential    VARCHAR(64) NOT NULL,
        address       VARCHAR(64) NOT NULL,
        action        VARCHAR(255) NOT NULL,
        resource_type VARCHAR(64) NOT NULL,
        resource_id   VARCHAR(512) NOT NULL,
        detail        VARCHAR(512) NOT NULL,
        count         BIGINT NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS railtrack_audit_log_time ON railtrack_audit_log (time_ms)",
    "CREATE INDEX IF NOT EXISTS railtrack_audit_log_denied ON railtrack_audit_log (is_denied, entry_id)",
    "CREATE INDEX IF NOT EXISTS railtrack_audit_log_username ON railtrack_audit_log (username, entry_id)",
    # One row, whose version increases with every change of who may do what. Workers drop their caches by it.
    """
    CREATE TABLE IF NOT EXISTS railtrack_auth_state (
        id      INTEGER NOT NULL,
        version BIGINT NOT NULL,
        CONSTRAINT railtrack_auth_state_pk PRIMARY KEY (id)
    )
    """,
    """
    INSERT INTO railtrack_auth_state (id, version)
    SELECT 1, 1 WHERE NOT EXISTS (SELECT 1 FROM railtrack_auth_state)
    """,
)


async def create_own_tables(tx: Tx) -> None:
    """Create the missing tables in the transaction that creates or checks MLflow's."""
    # The engines have no common spelling for ids that are never used again, also not after a deletion.
    identity = tx.per_dialect(
        postgresql="BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", sqlite="INTEGER PRIMARY KEY AUTOINCREMENT"
    )
    for statement in STATEMENTS:
        await tx.execute(statement.replace("{identity}", identity))
