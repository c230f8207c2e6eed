# `make drill` shows what Muster does; `make test` shows that it works. Both need Python 3.11 or newer, and nothing else.

DRILL ?= restore
ifeq ($(origin PYTHON),undefined)
PYTHON := $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
  $(name) -c 'import sys, venv, ensurepip; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))
endif
# The lock is given as constraint too: otherwise pip takes `sqlalchemy[asyncio]`, which Prefect asks for, for another package.
PIP = .venv/bin/python -m pip install -qq --disable-pip-version-check --root-user-action=ignore
# What the suite drills besides the wheels: pgBackRest, the PostgreSQL it knows, what reroutes clients, Patroni's store,
# a clock that can be set apart, schedulers to hand over; and a browser for the report.
DEBIAN = pgbackrest postgresql-15 haproxy pgbouncer etcd-server etcd-client faketime cron systemd \
  dbus-user-session softhsm2 chromium

.PHONY: .venv drill test bench fuzz kills
.DEFAULT_GOAL := drill
.DELETE_ON_ERROR:

.venv: .venv/.drill

# Spark and a Java are large: they are fetched for the drill that needs them.
drill: $(if $(filter spark,$(DRILL)),.venv/.spark,.venv/.drill)
	@.venv/bin/muster run $(DRILL)-embedded --up

# Clusters of JVMs, and two schedulers at work, take a machine to themselves: beside them, whoever measures time would
# measure theirs.
test: .venv/.test
	@$(DEBIAN_PACKAGES)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/pytest -n 2 --dist loadfile --ignore-glob='*/real/test_*spark*' --ignore-glob='*/real/test_*cutover*'
	.venv/bin/python -m tests.fuzz --seconds 60
	.venv/bin/pytest -n 1 $(wildcard tests/real/test_*cutover*.py tests/real/test_*spark*.py)

# Every parser of foreign bytes, for SECONDS in all; what is found is kept in tests/fuzz/found.
SECONDS ?= 600
fuzz: .venv/.test
	@.venv/bin/python -m tests.fuzz --seconds $(SECONDS)

# Everything that a cutover needs, killed in every one of its steps: 140 rehearsals, two hours.
kills: .venv/.test
	@.venv/bin/python -m tests.real.cutover_kills

bench: .venv/.test
	@.venv/bin/python -m bench
	@.venv/bin/python -m bench.cadence
	@.venv/bin/python -m bench.failover
	@.venv/bin/python -m bench.client
	@.venv/bin/python -m bench.checker
	@.venv/bin/python -m bench.guard
	@.venv/bin/python -m bench.ticks
	@.venv/bin/python -m bench.cutover
	@.venv/bin/python -m bench.spark
	@.venv/bin/python -m bench.log
	@.venv/bin/python -m bench.verify
	@.venv/bin/python -m bench.package
	@.venv/bin/python -m bench.portal

.venv/.drill: locks/drill.txt pyproject.toml
	@$(NEEDS_PYTHON)
	@echo "Building .venv from locks/drill.txt with $$($(PYTHON) --version). The first time takes a minute or two."
	@$(PYTHON) -m venv .venv
	@$(PIP) --require-hashes -r locks/drill.txt -c locks/drill.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@ && echo "Done: .venv/bin/muster"

# Spark comes as source; built with what the lock has brought before, and nothing else.
.venv/.spark: .venv/.drill locks/spark.txt
	@echo "Adding Spark and a Java from locks/spark.txt: half a gigabyte, a minute or two."
	@$(PIP) --require-hashes --no-build-isolation -r locks/spark.txt -c locks/spark.txt
	@touch $@

.venv/.test: .venv/.spark locks/test.txt
	@echo "Adding the tools of the test suite from locks/test.txt."
	@$(PIP) --require-hashes -r locks/test.txt -c locks/test.txt
	@touch $@

define NEEDS_PYTHON
test -n "$(PYTHON)" || { echo "Muster needs Python 3.11 or newer, with venv, and found none on PATH." >&2; \
  echo "  -> install it (Debian: apt-get install python3-venv), or run: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; \
  exit 64; }
endef

# Where these cannot be installed the tests that need them fail and say so; nothing is skipped in silence.
# Debian would start a PostgreSQL server of its own: the suite wants its programs, not its service.
define DEBIAN_PACKAGES
dpkg -s $(DEBIAN) >/dev/null 2>&1 || { \
  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
    echo "Installing Debian packages: $(DEBIAN)."; \
    mkdir -p /etc/postgresql-common; \
    [ -e /etc/postgresql-common/createcluster.conf ] || \
      echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get -qq update && apt-get -qq install -y --no-install-recommends -o Dpkg::Options::=--force-confold \
      $(DEBIAN) >/dev/null; \
  else \
    echo "Some tests need these Debian packages: $(DEBIAN). As root: apt-get install $(DEBIAN)" >&2; \
  fi; }
endef
