"""The tests: tests/conftest.py has what they share, CONTRIBUTING.md how to run a part of them."""
