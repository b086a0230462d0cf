"""The records in a browser: a page of live jobs, a page for each, and Datasette for every question.

Read-only, on loopback, for whoever holds the token. Everything here needs the extra `dashboard`;
`service/commands/dashboard.py` says so where it is missing.
"""
