"""`python -m dragons.cli` is the program `dragons`."""

from dragons.cli.main import main

if __name__ == "__main__":
    main()
