"""Benchmarks: `python -m tests.bench [login|sync|cli] [--write]`, which is what `make bench` runs.

    login    full sign-ins through the bridge       beside  the bare authorization and exchange at the same Keycloak
    sync     `sync run` into SQLite and PostgreSQL  beside  the bare read of the same pages
    cli      `keycloak-bridge --help`               beside  `python -c pass`, and against its limit

    __main__ -> login | sync | cli -> servers: realms, databases, service
                     |
                  figures -> page: a table on the terminal, or in deploy/docs/benchmarks.md

Machines differ and so does one machine from minute to minute; therefore each pair is measured in one run, round by
round in turn, and the ratio is what counts. Each benchmark also checks that the work was really done. Nothing here
reaches inside the product to make it faster or slower, and everything that is started ends with the run.
"""
