-- What the application role may do. Run as the owner after every migration: in production by
-- release.sh, in the embedded start-up and in the tests by cryptobot/embedded/grants.py; the same file.
-- A new table is out of the application's reach until this has run. Idempotent.
--
-- The role is `cryptobot_app`; another one: SET cryptobot.app_role = '...' before this file.
DO $$
DECLARE
    app name := coalesce(nullif(current_setting('cryptobot.app_role', true), ''), 'cryptobot_app');
    -- Journals: written once, read for ever. This is the only list of them.
    append_only text[] := ARRAY[
        'ops_auditentry',
        'ops_incidentevent',
        'trading_attempt',
        'trading_executiontransition',
        'trading_fill',
        'trading_fundingpayment',
        'trading_ledgerentry',
        'trading_ledgerline',
        'trading_venuebill'
    ];
    owned text[] := ARRAY[
        'auth_group',
        'auth_group_permissions',
        'auth_permission',
        'django_content_type',
        'django_migrations'
    ];
    journal text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', app);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %I', app);
    EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO %I', app);
    EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO %I', app);
    FOREACH journal IN ARRAY append_only LOOP
        IF to_regclass('public.' || journal) IS NOT NULL THEN
            EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON public.%I FROM %I', journal, app);
        END IF;
    END LOOP;
    -- Migrations, and what each role may do (ops/roles.py, synced by migrate), are the owner's business.
    FOREACH journal IN ARRAY owned LOOP
        IF to_regclass('public.' || journal) IS NOT NULL THEN
            EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON public.%I FROM %I', journal, app);
        END IF;
    END LOOP;
END
$$;
