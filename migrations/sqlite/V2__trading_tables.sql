-- The trader's tables: what the log has come to. Each can be dropped and rebuilt from it.
-- No foreign keys, defaults or triggers: rows are what the folds say. Ids, decimals, instants and JSON are text.

CREATE TABLE orders_current (
    tenant_id          TEXT    NOT NULL,
    order_id           TEXT    NOT NULL,
    account_id         TEXT    NOT NULL,
    position_id        TEXT,
    intent_id          TEXT    NOT NULL,
    role               TEXT    NOT NULL,
    client_order_id    TEXT    NOT NULL,
    exchange_order_id  TEXT,
    exchange_trade_ids TEXT    NOT NULL,
    symbol             TEXT    NOT NULL,
    side               TEXT    NOT NULL,
    order_type         TEXT    NOT NULL,
    reduce_only        INTEGER NOT NULL CHECK (reduce_only IN (0, 1)),
    quantity           TEXT    NOT NULL,
    price              TEXT,
    stop_price         TEXT,
    filled_quantity    TEXT    NOT NULL,
    average_fill_price TEXT,
    total_fee          TEXT    NOT NULL,
    fee_asset          TEXT,
    total_fee_quote    TEXT    NOT NULL,
    status             TEXT    NOT NULL,
    reason             TEXT,
    filled_at          TEXT,
    last_event_id      TEXT    NOT NULL,
    last_log_seq       INTEGER NOT NULL,
    created_at         TEXT    NOT NULL,
    updated_at         TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, order_id)
) STRICT;

CREATE UNIQUE INDEX orders_current_by_client_order_id ON orders_current (tenant_id, account_id, client_order_id);
CREATE INDEX orders_current_by_position ON orders_current (tenant_id, position_id);
CREATE INDEX orders_current_by_status ON orders_current (tenant_id, status);

CREATE TABLE fills (
    tenant_id         TEXT    NOT NULL,
    venue             TEXT    NOT NULL,
    account_id        TEXT    NOT NULL,
    symbol            TEXT    NOT NULL,
    exchange_trade_id TEXT    NOT NULL,
    fill_id           TEXT    NOT NULL,
    order_id          TEXT    NOT NULL,
    exchange_order_id TEXT    NOT NULL,
    side              TEXT    NOT NULL,
    fill_price        TEXT    NOT NULL,
    fill_quantity     TEXT    NOT NULL,
    fee               TEXT    NOT NULL,
    fee_asset         TEXT    NOT NULL,
    fee_quote         TEXT    NOT NULL,
    fee_estimated     INTEGER NOT NULL CHECK (fee_estimated IN (0, 1)),
    is_maker          INTEGER NOT NULL CHECK (is_maker IN (0, 1)),
    filled_at         TEXT    NOT NULL,
    ingested_at       TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, venue, account_id, symbol, exchange_trade_id)
) STRICT;

CREATE INDEX fills_by_order ON fills (tenant_id, order_id);
CREATE INDEX fills_by_time ON fills (tenant_id, filled_at);

CREATE TABLE positions_current (
    tenant_id               TEXT    NOT NULL,
    position_id             TEXT    NOT NULL,
    account_id              TEXT    NOT NULL,
    strategy_id             TEXT,
    symbol                  TEXT    NOT NULL,
    side                    TEXT    NOT NULL,
    state                   TEXT    NOT NULL,
    entry_mode              TEXT    NOT NULL,
    approval_mode           TEXT    NOT NULL,
    trailing_policy         TEXT    NOT NULL,
    risk_capital            TEXT    NOT NULL,
    risk_pct                TEXT    NOT NULL,
    planned_risk            TEXT,
    latent_risk             TEXT    NOT NULL,
    entry_price             TEXT,
    entry_quantity          TEXT,
    entry_filled_at         TEXT,
    technical_stop_price    TEXT,
    technical_stop_distance TEXT,
    current_quantity        TEXT    NOT NULL,
    current_price           TEXT,
    trailing_stop_price     TEXT,
    favorable_extreme       TEXT,
    extreme_at              TEXT,
    unrealized_pnl          TEXT,
    realized_pnl            TEXT    NOT NULL,
    total_fees              TEXT    NOT NULL,
    dust_quantity           TEXT    NOT NULL,
    entry_signal_id         TEXT,
    entry_order_id          TEXT,
    exit_order_id           TEXT,
    stop_loss_order_id      TEXT,
    exit_reason             TEXT,
    error                   TEXT,
    closed_at               TEXT,
    last_event_id           TEXT    NOT NULL,
    last_log_seq            INTEGER NOT NULL,
    created_at              TEXT    NOT NULL,
    updated_at              TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, position_id)
) STRICT;

CREATE INDEX positions_current_by_state ON positions_current (tenant_id, state);
CREATE INDEX positions_current_by_symbol ON positions_current (tenant_id, account_id, symbol, side);

CREATE TABLE balances_current (
    tenant_id     TEXT    NOT NULL,
    account_id    TEXT    NOT NULL,
    asset         TEXT    NOT NULL,
    free          TEXT    NOT NULL,
    locked        TEXT    NOT NULL,
    total         TEXT    NOT NULL,
    sampled_at    TEXT    NOT NULL,
    last_event_id TEXT    NOT NULL,
    last_log_seq  INTEGER NOT NULL,
    created_at    TEXT    NOT NULL,
    updated_at    TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, account_id, asset)
) STRICT;

CREATE TABLE risk_state_current (
    tenant_id          TEXT    NOT NULL,
    account_id         TEXT    NOT NULL,
    scope              TEXT    NOT NULL,
    period             TEXT    NOT NULL,
    capital_base       TEXT    NOT NULL,
    realized_net       TEXT    NOT NULL,
    latent_risk        TEXT    NOT NULL,
    total_exposure     TEXT    NOT NULL,
    max_exposure       TEXT,
    daily_pnl          TEXT    NOT NULL,
    daily_loss_limit   TEXT,
    drawdown           TEXT    NOT NULL,
    max_drawdown       TEXT    NOT NULL,
    is_violated        INTEGER NOT NULL CHECK (is_violated IN (0, 1)),
    violation_reason   TEXT,
    violated_at        TEXT,
    halted             INTEGER NOT NULL CHECK (halted IN (0, 1)),
    entries_stopped    INTEGER NOT NULL CHECK (entries_stopped IN (0, 1)),
    open_discrepancies INTEGER NOT NULL,
    calculated_at      TEXT    NOT NULL,
    last_event_id      TEXT    NOT NULL,
    last_log_seq       INTEGER NOT NULL,
    created_at         TEXT    NOT NULL,
    updated_at         TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, account_id, scope)
) STRICT;

CREATE TABLE strategy_state_current (
    tenant_id        TEXT    NOT NULL,
    strategy_id      TEXT    NOT NULL,
    account_id       TEXT    NOT NULL,
    strategy_name    TEXT    NOT NULL,
    strategy_type    TEXT    NOT NULL,
    detector_config  TEXT,
    risk_config      TEXT    NOT NULL,
    config_version   INTEGER NOT NULL,
    is_enabled       INTEGER NOT NULL CHECK (is_enabled IN (0, 1)),
    enabled_at       TEXT,
    disabled_at      TEXT,
    disabled_reason  TEXT,
    total_signals    INTEGER NOT NULL,
    total_positions  INTEGER NOT NULL,
    open_positions   INTEGER NOT NULL,
    closed_positions INTEGER NOT NULL,
    wins             INTEGER NOT NULL,
    total_pnl        TEXT    NOT NULL,
    win_rate         TEXT,
    last_event_id    TEXT    NOT NULL,
    last_log_seq     INTEGER NOT NULL,
    created_at       TEXT    NOT NULL,
    updated_at       TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, strategy_id)
) STRICT;
