"""The numbers in the pages' prose match the code."""

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import jwt
import pytest

from tokend_server.config import Cognito, Grpc, Keys, OpenIdConnectProvider, Section
from tokend_server.config.kms import Kms
from tokend_server.model import DEFAULT_TOKEN_DURATION, MAX_LINKED_LOGINS, refresh_time
from tokend_server.rpc.server import GrpcServer

ROOT = Path(__file__).parents[2]
README, SECURITY, KMS = "README.md", "server/SECURITY.md", "server/kms.md"
CONFIGURATION, ERRORS, METRICS = "server/configuration.md", "server/errors.md", "server/metrics.md"
KEYS, TIMES = "server/keys.md", Keys().times


def constant(name: str) -> Any:  # noqa: ANN401 - of any type
    module, _, attribute = f"tokend_server.{name}".rpartition(".")
    return getattr(import_module(module), attribute)


def setting(section: type[Section], name: str) -> Any:  # noqa: ANN401 - as above
    return section.model_fields[name].default


def parameter(function: Any, name: str) -> Any:  # noqa: ANN401 - as above
    return inspect.signature(function).parameters[name].default


#: A page, its text, the value in the code, and the value in the text.
STATED: list[tuple[str, str, Any, Any]] = [
    (README, "keeps the keys for five minutes", parameter(jwt.PyJWKClient, "lifespan"), 300),
    (README, "255 characters at most", constant("config.issuer_url.IAM_MAX_CHARACTERS"), 255),
    (README, "with five minutes' grace for clocks", setting(OpenIdConnectProvider, "clock_skew_seconds"), 300),
    (README, "about 50 tokens a second", Cognito().requests_per_second + Cognito().burst, 50),
    (README, "more often than at a third of their token's life", refresh_time(0, 900), 300),
    (README, "good until a minute before it expires", Cognito().stale_margin_seconds, 60),
    (CONFIGURATION, "a request without one gets, if below 900", DEFAULT_TOKEN_DURATION.total_seconds(), 900),
    (ERRORS, "more than 20 logins on an identity", MAX_LINKED_LOGINS, 20),
    (METRICS, "tokend calls itself every two seconds", parameter(GrpcServer.prober, "interval"), 2),
    (METRICS, "twice as many (at least 32)", constant("rpc.threads._MIN_SPARE_THREADS"), 32),
    (README, "gives up after 30 seconds", constant("engines.local.stores.sqlite.store.START_LOCK_TIMEOUT"), 30),
    (README, "gives up after 30 seconds", constant("engines.local.stores.sql.store.MIGRATION_TIMEOUT"), 30),
    (README, "holds up a stop for five seconds at most", constant("tracing.provider._FLUSH_TIMEOUT"), 5),
    ("server/decisions/optimistic-commits.md", "20 times at most", constant("engines.local.engine.MAX_ATTEMPTS"), 20),
    ("server/decisions/thread-pool.md", "`grpc.threads` threads, 16 by default", setting(Grpc, "threads"), 16),
    ("server/decisions/no-cache-of-local-tokens.md", "one call in five minutes", refresh_time(0, 900), 300),
    ("server/decisions/one-process.md", "signing keys that each reads every two seconds", TIMES.refresh, 2),
    (KMS, "whether it could", 60 / constant("engines.local.keys.kms_key.SUCCESS_SECONDS"), 1),
    (KMS, "A signature of the last minute counts", constant("engines.local.keys.kms_key.SUCCESS_SECONDS"), 60),
    (KMS, "asked again after 15 seconds", constant("engines.local.keys.kms_key.FAILURE_SECONDS"), 15),
    (KMS, "for a second at most", constant("engines.local.keys.kms_key._CHECK_TIMEOUT"), 1),
    (KMS, "for deletion after seven days", constant("engines.local.keys.kms_keys._MIN_DELETION_DAYS"), 7),
    (KMS, "a server makes none for five minutes", constant("engines.local.keys.kms_keys._GENERATION_PAUSE"), 300),
    (KMS, "is tried for six seconds", int(sum(constant("engines.local.keys.kms_keys._PAUSES"))), 6),
    (KMS, "three quarters of `grpc.threads`", constant("engines.local.keys.kms_build._SHARE"), 3 / 4),
    (KMS, "KMS takes 1,000 signatures a second", Kms().requests_per_second + Kms().burst, 900),
    (KEYS, "a random nonce of 96 bits", 8 * constant("engines.local.keys.sealed.NONCE_BYTES"), 96),
    (KEYS, "32 random bytes; or these", constant("key_files.KEY_BYTES"), 32),
    (KEYS, "one line of 16 bytes at least", constant("engines.local.keys.wrapping_files._MIN_PASSPHRASE_BYTES"), 16),
    (KEYS, "a random salt of 16 bytes", constant("engines.local.keys.wrapping_files._SALT_BYTES"), 16),
    (
        KEYS,
        "scrypt (N = 32768, r = 8, p = 3",
        constant("engines.local.keys.wrapping_files._NEW"),
        {"n": 32768, "r": 8, "p": 3},
    ),
    (SECURITY, "one fetch in 30 seconds", constant("oidc.keys.COOL_DOWN"), 30),
    (SECURITY, "256 random bits", 8 * constant("callers.keys._RANDOM_BYTES"), 256),
    (SECURITY, "beyond 1,000 at once and 500 a second", constant("rpc.worker_pool._ABANDONED_BURST"), 1000),
    (SECURITY, "beyond 1,000 at once and 500 a second", constant("rpc.worker_pool._ABANDONED_PER_SECOND"), 500),
    (SECURITY, "1,000 calls at once and 100 a second", constant("rpc.connection_guard._UNIDENTIFIED_BURST"), 1000),
    (SECURITY, "1,000 calls at once and 100 a second", constant("rpc.connection_guard._UNIDENTIFIED_CALLS"), 100),
    (SECURITY, "1,000 calls at once, or 100 a second", constant("rpc.connection_guard._UNIDENTIFIED_BURST"), 1000),
    (SECURITY, "1,000 calls at once, or 100 a second", constant("rpc.connection_guard._UNIDENTIFIED_CALLS"), 100),
    (SECURITY, "drops the host's new connections for two seconds", constant("rpc.connection_guard.BAR"), 2),
    (SECURITY, "the kernel drops new ones for two seconds", constant("rpc.connection_guard.BAR"), 2),
    (SECURITY, "an eighth of `grpc.max_connections` is kept free", constant("rpc.connection_guard._ROOM"), 1 / 8),
    (SECURITY, "more than seven eighths of `grpc.max_connections`", 1 - constant("rpc.connection_guard._ROOM"), 7 / 8),
    (SECURITY, "A quarter is made free", constant("rpc.connection_guard._MADE_ROOM"), 1 / 4),
    (SECURITY, "counting fourfold", constant("rpc.connection_guard._WEIGHT_OF_UNKNOWN"), 4),
    (SECURITY, "after ten silent seconds", constant("rpc.connection_guard._IDLE_SECONDS"), 10),
    (SECURITY, "more metadata fields than an eighth of", constant("rpc.connection_guard._MIN_FIELD_BYTES"), 8),
    (SECURITY, "up to 64 seconds", constant("rpc.connection_guard._MAX_BAR"), 64),
    (SECURITY, "without an acknowledgement ends after five seconds", constant("rpc.server._SETTINGS_TIMEOUT"), 5),
    (SECURITY, "is twice `grpc.threads`, at least 32", constant("config.listeners._MIN_STREAMS"), 32),
    (SECURITY, "oldest are cancelled beyond 16", constant("rpc.threads._SPARE_STREAM_THREADS"), 16),
    (SECURITY, "has 1 to 1,024 octets of UTF-8", constant("oidc.claims.MAX_SUBJECT_BYTES"), 1024),
    (SECURITY, "a number of more than 300 characters", constant("oidc.tokens._MAX_DIGITS"), 300),
    (SECURITY, "keys that are tried for one token | 16 | 16 |", constant("oidc.tokens.MAX_TRIED_KEYS"), 16),
    (SECURITY, "older than | 5 minutes, and waited for", constant("access.authentication.jwt.KEYS_MAX_AGE"), 300),
    (SECURITY, "waited for from 10 minutes on | an hour", constant("access.authentication.jwt.KEYS_TOO_OLD"), 600),
    (SECURITY, "waited for from 10 minutes on | an hour", constant("oidc.keys.MAX_AGE"), 3600),
    (SECURITY, "one in 30 seconds, of 5 seconds at most", constant("oidc.keys.COOL_DOWN"), 30),
    (SECURITY, "one in 30 seconds, of 5 seconds at most", constant("oidc.keys.FETCH_TIMEOUT"), 5),
    (SECURITY, "a call waits for keys | 2 seconds", constant("access.authentication.jwt.KEYS_TIMEOUT"), 2),
    (
        SECURITY,
        "10,000, for a minute and not beyond `exp`",
        constant("access.authentication.jwt.MAX_REMEMBERED"),
        10_000,
    ),
    (
        SECURITY,
        "10,000, for a minute and not beyond `exp`",
        constant("access.authentication.jwt.MAX_VERIFICATION_AGE"),
        60,
    ),
    (
        SECURITY,
        "five lines at once for each cause and issuer",
        constant("access.authentication.refusals.LINES_AT_ONCE"),
        5,
    ),
    (SECURITY, "then one in 10 seconds", 1 / constant("access.authentication.refusals.LINES_PER_SECOND"), 10),
    (SECURITY, "once in 30 seconds at most", constant("oidc.keys.COOL_DOWN"), 30),
    (SECURITY, "a withdrawn key counts for ten minutes more", constant("access.authentication.jwt.KEYS_TOO_OLD"), 600),
    (SECURITY, "gets 900 seconds", DEFAULT_TOKEN_DURATION.total_seconds(), 900),
    (SECURITY, "it fails after a second", constant("access.audit.queued_log.WRITE_TIMEOUT"), 1),
    (SECURITY, "within a twentieth of a second", 1 / constant("access.audit.queued_log.DELAY"), 20),
    (SECURITY, "a queue of 1,000 lines", constant("access.audit.queued_log.MAX_WAITING"), 1000),
    (SECURITY, "one refusal a second has a line", constant("access.audit.auditor.REFUSALS_PER_SECOND"), 1),
    (SECURITY, "one line a second for refusals", constant("access.audit.auditor.REFUSALS_PER_SECOND"), 1),
    (SECURITY, "(a hundred after a pause)", constant("access.audit.auditor.REFUSALS_BURST"), 100),
    (SECURITY, "once a minute and at the end", constant("access.audit.auditor.SUMMARY_SECONDS"), 60),
    (SECURITY, "within a second of the next line", constant("access.audit.file_log._CHECK_INTERVAL"), 1),
    (SECURITY, "every 30 days by default", TIMES.rotate_every, 30 * 86_400),
    (SECURITY, "published for an hour before it signs", TIMES.publish_before, 3600),
    (KEYS, "A day and twenty minutes later", TIMES.tokens_last, 86_400 + 1200),
    (KEYS, "reads the keys every two seconds", TIMES.refresh, 2),
    (KEYS, "| `keys.publish_before` | 3600 |", TIMES.publish_before, 3600),
    (KEYS, "(`Cache-Control: max-age`) | 300 |", TIMES.cache_age, 300),
    (KEYS, "| up to five minutes |", TIMES.cache_age, 300),
    (KEYS, "| difference of the servers' clocks | 300 |", TIMES.clock_skew, 300),
    (KEYS, "are at most five minutes apart", TIMES.clock_skew, 300),
    (KEYS, "a key cannot be removed | 360 |", TIMES.about_to_sign, 360),
    (KEYS, "| a retired key is published | 87600 |", TIMES.tokens_last, 87_600),
    (KEYS, "is tried again after two seconds", constant("engines.local.keys.task._FIRST_PAUSE"), 2),
    (KEYS, "up to once a minute", constant("engines.local.keys.task._LONGEST_PAUSE"), 60),
]


@pytest.mark.parametrize(("page", "words", "found", "stated"), STATED)
def test_a_number_in_prose_is_that_of_the_code(page: str, words: str, found: float, stated: float) -> None:
    prose = re.sub(r"\s+", " ", (ROOT / page).read_text(encoding="utf-8"))
    assert words in prose
    assert found == stated
