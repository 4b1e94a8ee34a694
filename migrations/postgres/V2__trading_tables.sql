-- The trader's tables: what the log has come to. Each can be dropped and rebuilt from it.
-- No foreign keys, defaults or triggers: rows are what the folds say. Decimals are normalized where they are made.

CREATE TABLE orders_current (
    tenant_id          uuid             NOT NULL,
    order_id           uuid             NOT NULL,
    account_id         uuid             NOT NULL,
    position_id        uuid,
    intent_id          uuid             NOT NULL,
    role               text COLLATE "C" NOT NULL,
    client_order_id    text COLLATE "C" NOT NULL,
    exchange_order_id  text COLLATE "C",
    exchange_trade_ids jsonb            NOT NULL,
    symbol             text COLLATE "C" NOT NULL,
    side               text COLLATE "C" NOT NULL,
    order_type         text COLLATE "C" NOT NULL,
    reduce_only        boolean          NOT NULL,
    quantity           numeric          NOT NULL,
    price              numeric,
    stop_price         numeric,
    filled_quantity    numeric          NOT NULL,
    average_fill_price numeric,
    total_fee          numeric          NOT NULL,
    fee_asset          text COLLATE "C",
    total_fee_quote    numeric          NOT NULL,
    status             text COLLATE "C" NOT NULL,
    reason             text COLLATE "C",
    filled_at          timestamptz,
    last_event_id      text COLLATE "C" NOT NULL,
    last_log_seq       bigint           NOT NULL,
    created_at         timestamptz      NOT NULL,
    updated_at         timestamptz      NOT NULL,
    PRIMARY KEY (tenant_id, order_id)
);

CREATE UNIQUE INDEX orders_current_by_client_order_id ON orders_current (tenant_id, account_id, client_order_id);
CREATE INDEX orders_current_by_position ON orders_current (tenant_id, position_id);
CREATE INDEX orders_current_by_status ON orders_current (tenant_id, status);

CREATE TABLE fills (
    tenant_id         uuid             NOT NULL,
    venue             text COLLATE "C" NOT NULL,
    account_id        uuid             NOT NULL,
    symbol            text COLLATE "C" NOT NULL,
    exchange_trade_id text COLLATE "C" NOT NULL,
    fill_id           uuid             NOT NULL,
    order_id          uuid             NOT NULL,
    exchange_order_id text COLLATE "C" NOT NULL,
    side              text COLLATE "C" NOT NULL,
    fill_price        numeric          NOT NULL,
    fill_quantity     numeric          NOT NULL,
    fee               numeric          NOT NULL,
    fee_asset         text COLLATE "C" NOT NULL,
    fee_quote         numeric          NOT NULL,
    fee_estimated     boolean          NOT NULL,
    is_maker          boolean          NOT NULL,
    filled_at         timestamptz      NOT NULL,
    ingested_at       timestamptz      NOT NULL,
    PRIMARY KEY (tenant_id, venue, account_id, symbol, exchange_trade_id)
);

CREATE INDEX fills_by_order ON fills (tenant_id, order_id);
CREATE INDEX fills_by_time ON fills (tenant_id, filled_at);

CREATE TABLE positions_current (
    tenant_id               uuid             NOT NULL,
    position_id             uuid             NOT NULL,
    account_id              uuid             NOT NULL,
    strategy_id             uuid,
    symbol                  text COLLATE "C" NOT NULL,
    side                    text COLLATE "C" NOT NULL,
    state                   text COLLATE "C" NOT NULL,
    entry_mode              text COLLATE "C" NOT NULL,
    approval_mode           text COLLATE "C" NOT NULL,
    trailing_policy         text COLLATE "C" NOT NULL,
    risk_capital            numeric          NOT NULL,
    risk_pct                numeric          NOT NULL,
    planned_risk            numeric,
    latent_risk             numeric          NOT NULL,
    entry_price             numeric,
    entry_quantity          numeric,
    entry_filled_at         timestamptz,
    technical_stop_price    numeric,
    technical_stop_distance numeric,
    current_quantity        numeric          NOT NULL,
    current_price           numeric,
    trailing_stop_price     numeric,
    favorable_extreme       numeric,
    extreme_at              timestamptz,
    unrealized_pnl          numeric,
    realized_pnl            numeric          NOT NULL,
    total_fees              numeric          NOT NULL,
    dust_quantity           numeric          NOT NULL,
    entry_signal_id         uuid,
    entry_order_id          uuid,
    exit_order_id           uuid,
    stop_loss_order_id      uuid,
    exit_reason             text COLLATE "C",
    error                   text COLLATE "C",
    closed_at               timestamptz,
    last_event_id           text COLLATE "C" NOT NULL,
    last_log_seq            bigint           NOT NULL,
    created_at              timestamptz      NOT NULL,
    updated_at              timestamptz      NOT NULL,
    PRIMARY KEY (tenant_id, position_id)
);

CREATE INDEX positions_current_by_state ON positions_current (tenant_id, state);
CREATE INDEX positions_current_by_symbol ON positions_current (tenant_id, account_id, symbol, side);

CREATE TABLE balances_current (
    tenant_id     uuid             NOT NULL,
    account_id    uuid             NOT NULL,
    asset         text COLLATE "C" NOT NULL,
    free          numeric          NOT NULL,
    locked        numeric          NOT NULL,
    total         numeric          NOT NULL,
    sampled_at    timestamptz      NOT NULL,
    last_event_id text COLLATE "C" NOT NULL,
    last_log_seq  bigint           NOT NULL,
    created_at    timestamptz      NOT NULL,
    updated_at    timestamptz      NOT NULL,
    PRIMARY KEY (tenant_id, account_id, asset)
);

CREATE TABLE risk_state_current (
    tenant_id          uuid             NOT NULL,
    account_id         uuid             NOT NULL,
    scope              text COLLATE "C" NOT NULL,
    period             text COLLATE "C" NOT NULL,
    capital_base       numeric          NOT NULL,
    realized_net       numeric          NOT NULL,
    latent_risk        numeric          NOT NULL,
    total_exposure     numeric          NOT NULL,
    max_exposure       numeric,
    daily_pnl          numeric          NOT NULL,
    daily_loss_limit   numeric,
    drawdown           numeric          NOT NULL,
    max_drawdown       numeric          NOT NULL,
    is_violated        boolean          NOT NULL,
    violation_reason   text COLLATE "C",
    violated_at        timestamptz,
    halted             boolean          NOT NULL,
    entries_stopped    boolean          NOT NULL,
    open_discrepancies bigint           NOT NULL,
    calculated_at      timestamptz      NOT NULL,
    last_event_id      text COLLATE "C" NOT NULL,
    last_log_seq       bigint           NOT NULL,
    created_at         timestamptz      NOT NULL,
    updated_at         timestamptz      NOT NULL,
    PRIMARY KEY (tenant_id, account_id, scope)
);

CREATE TABLE strategy_state_current (
    tenant_id        uuid             NOT NULL,
    strategy_id      uuid             NOT NULL,
    account_id       uuid             NOT NULL,
    strategy_name    text COLLATE "C" NOT NULL,
    strategy_type    text COLLATE "C" NOT NULL,
    detector_config  jsonb,
    risk_config      jsonb            NOT NULL,
    config_version   bigint           NOT NULL,
    is_enabled       boolean          NOT NULL,
    enabled_at       timestamptz,
    disabled_at      timestamptz,
    disabled_reason  text COLLATE "C",
    total_signals    bigint           NOT NULL,
    total_positions  bigint           NOT NULL,
    open_positions   bigint           NOT NULL,
    closed_positions bigint           NOT NULL,
    wins             bigint           NOT NULL,
    total_pnl        numeric          NOT NULL,
    win_rate         numeric,
    last_event_id    text COLLATE "C" NOT NULL,
    last_log_seq     bigint           NOT NULL,
    created_at       timestamptz      NOT NULL,
    updated_at       timestamptz      NOT NULL,
    PRIMARY KEY (tenant_id, strategy_id)
);
