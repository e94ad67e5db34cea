"""`python -m billing.cli` is the command `billing`."""

from billing.cli import main

if __name__ == "__main__":
    main(prog_name="billing")
