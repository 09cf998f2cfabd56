"""Django settings. Values come from `cryptobot.env` (the only reader of the environment)."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
import structlog

from cryptobot.env import BASE_DIR, load

ENV = load()

SECRET_KEY = ENV.secret("SECRET_KEY")
AUDIT_HMAC_KEY = ENV.secret("AUDIT_HMAC_KEY")
AUDIT_HEADS = ENV.data_dir / "audit-heads.jsonl"
FIELD_ENCRYPTION_KEY = ENV.secret("FIELD_ENCRYPTION_KEY")
DEBUG = ENV.debug
ALLOWED_HOSTS = [host.strip() for host in ENV.allowed_hosts.split(",") if host.strip()]
INSTANCE = ENV.instance

INSTALLED_APPS = [
    "cryptobot.apps.CryptobotConfig",
    "trading.apps.TradingConfig",
    "risk.apps.RiskConfig",
    "leadership.apps.LeadershipConfig",
    "ops.apps.OpsConfig",
    "ops.apps.DeskAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "guardian",
    "axes",
    "knox",
]

MIDDLEWARE = [
    "ops.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "ops.middleware.PageLocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "ops.middleware.IdleMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "cryptobot.urls"
ASGI_APPLICATION = "cryptobot.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# A leader stopped inside a transaction must not block its successor for ever (spec 5), hence the time-outs.
_SESSION = "-c lock_timeout=2000 -c idle_in_transaction_session_timeout=5000 -c timezone=UTC"
# Health checks: a pooled connection to a server that was restarted is replaced instead of failing a request.
DATABASES: dict[str, dict[str, Any]] = {
    "default": dict(dj_database_url.parse(ENV.resolved_database_url, conn_health_checks=True))
}
DATABASES["default"]["OPTIONS"] = {
    **DATABASES["default"].get("OPTIONS", {}),  # sslmode and the like from the URL
    "options": _SESSION,
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    # daphne runs each request in a thread of its own: a pool is what makes connections outlive a request.
    "pool": {"min_size": 1, "max_size": 10, "timeout": 5},
}
DATABASES["default"]["ATOMIC_REQUESTS"] = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = ENV.resolved_redis_url
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
}

AUTH_USER_MODEL = "ops.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: who is locked out is not even asked for a password
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# Guardian's anonymous user would be one more account to explain; nobody here acts without a login.
ANONYMOUS_USER_NAME = None
# Per name and address: neither locks a colleague out from elsewhere nor is got round by changing names.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True  # logins are in our audit log
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_CLIENT_IP_CALLABLE = "ops.logins.address_of"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "totp"]  # the password's own name it knows
LOGIN_URL = "admin:login"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_IDLE_SEC = 3600  # a browser left alone is logged out (ops.middleware)
_HTTPS = ENV.exchange_profile == "live"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _HTTPS
# Desks on one host differ by port only, and cookies ignore ports: give each its own names.
_COOKIE_SUFFIX = "" if ENV.port == 8000 else f"_{ENV.port}"
SESSION_COOKIE_NAME = f"sessionid{_COOKIE_SUFFIX}"
# How many of the addresses in X-Forwarded-For our own proxies wrote, from the right.
TRUSTED_PROXIES = 1 if _HTTPS else 0
if _HTTPS:  # nginx ends TLS on this host and sets the header; we listen on loopback only
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
# W008: nginx redirects, while health checks on loopback speak plain HTTP.
# W005, W021: whether the whole domain is ours to bind to HTTPS is not this program's to know.
# axes.W002: ops.logins answers for who is locked out, in every face; its middleware would answer over it.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021", "axes.W002"]
CSRF_FAILURE_VIEW = "ops.api.problems.csrf_failure"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ru", "Русский")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
FORMAT_MODULE_PATH = "cryptobot.formats"
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = ENV.data_dir / "static"

# Requests per person (`write`) or address (`login`). Stops are never throttled.
THROTTLE_RATES = {"login": "120/min", "write": "600/min"}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},  # nobody waits to be counted
    }
}

REST_FRAMEWORK = {
    "DEFAULT_THROTTLE_CLASSES": ["ops.api.throttling.WriteThrottle"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "ops.api.authentication.SessionAuthentication",
        "ops.api.authentication.TokenAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["ops.api.json.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["ops.api.json.OrjsonParser"],
    "DEFAULT_SCHEMA_CLASS": "ops.api.schema.Schema",
    "URL_FORMAT_OVERRIDE": None,  # `?format=` is an export's own word
    "EXCEPTION_HANDLER": "ops.api.problems.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
# knox's migrations would make its own token table beside ours.
MIGRATION_MODULES = {"knox": None}
KNOX_TOKEN_MODEL = "ops.Token"  # noqa: S105 (a model; the name that knox itself gives the setting)
REST_KNOX = {"TOKEN_MODEL": KNOX_TOKEN_MODEL, "TOKEN_TTL": None, "AUTO_REFRESH": False}
SPECTACULAR_SETTINGS = {
    "TITLE": "cryptobot",
    "DESCRIPTION": "Operations platform for cross-exchange arbitrage on crypto perpetual swaps",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": ["ops.api.schema.add_components"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}


def _celery_broker(url: str) -> str:
    """kombu spells a unix socket differently from redis-py."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = dict(pair.split("=") for pair in parts.query.split("&") if pair).get("db", "0")
    return f"redis+socket://{parts.path}?virtual_host={database}"


# Queues, routes and the beat table: cryptobot/celery.py.
CELERY_BROKER_URL = _celery_broker(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# Unacknowledged for so long, a message is delivered again: longer than a task may run (check cryptobot.E001).
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "health_check_interval": 10,
    # Of a sender (a worker's own connection is retried for ever): a stop must not wait for a dead broker.
    "max_retries": 0,
}
CELERY_TASK_TIME_LIMIT = 300
CELERY_TASK_SOFT_TIME_LIMIT = 270
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_BEAT_SCHEDULER = "cryptobot.pulse:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 2  # its traces come at least so often
# A nudge that cannot be sent is dropped at once: the row it points at is found by the next sweep.
CELERY_TASK_PUBLISH_RETRY = False

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": ENV.log_level},
    # These tell each message and each connection at INFO.
    "loggers": {name: {"level": "WARNING"} for name in ("celery", "kombu", "daphne", "asyncio")},
}
