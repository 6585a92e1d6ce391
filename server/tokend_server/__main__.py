import signal


def main() -> None:
    """Runs the command line."""
    # Ctrl-C ends it as it ends other commands, and shows no traceback, even while modules are loaded.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from tokend_server.cli import main as run  # noqa: PLC0415 - loads nearly everything

    run()


if __name__ == "__main__":
    main()
