"""Opens the store in the configuration, of any kind."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from importlib import import_module
from types import ModuleType

from tokend_server.config import Config
from tokend_server.config.stores import StoreKind, kind_of
from tokend_server.engines.local.store import Store
from tokend_server.errors import ConfigError


def open_store(config: Config) -> Store:
    """Opens the store, whatever its schema.

    Raises:
        ConfigError: The store cannot be used as configured.
        EngineUnavailable: The store does not answer.
    """
    module = _module_of(kind_of(config.store_url))
    store: Store = module.open_configured(config)
    return store


def store_problems(config: Config) -> Sequence[str]:
    """Returns the problems of the store's settings, whether or not the store answers."""
    try:
        _module_of(kind_of(config.store_url)).check_settings(config)
    except ConfigError as error:
        return error.problems
    return ()


def template_of(config: Config, language: str) -> str:
    """Returns a template that creates the store with an infrastructure tool, in the language of the tool.

    Raises:
        ConfigError: Stores of this kind have no such template.
    """
    module = import_module(kind_of(config.store_url).module)
    if not hasattr(module, "template"):
        raise ConfigError([f"store.url: a store of this kind has no template for {language}"])
    text: str = module.template(config, language)
    return text


def open_migrated_store(config: Config) -> Store:
    """Opens the store with its schema up to date.

    Raises:
        ConfigError: The store cannot be used, or `serve` may not apply the migrations that its schema lacks.
        EngineUnavailable: The store does not answer.
    """
    with ExitStack() as undo:
        store = undo.enter_context(closing(open_store(config)))
        missing = store.missing_migrations()
        if missing and config.store.migrate_on_start:
            store.migrate()
        elif missing:
            raise ConfigError([f"store: the schema lacks the migrations {', '.join(missing)}; run `tokend migrate`"])
        undo.pop_all()
    return store


def _module_of(kind: StoreKind) -> ModuleType:
    """Returns the module of a kind of store.

    Raises:
        ConfigError: The extra that it needs is not installed.
    """
    try:
        return import_module(kind.module)
    except ImportError as error:
        if not kind.extra:
            raise
        raise ConfigError([f"store.url: needs tokend-server[{kind.extra}] to be installed: {error}"]) from error
