"""Who may import whom (house.md): pricing ← a domain's pure files ← its store ← its use-cases ← api | cli ← app."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOMAINS = ("accounts", "credits", "holds", "ledger", "metering", "invoices", "prices", "reports", "webhooks")
WEB = (
    "billing.app",
    "billing.docs_page",
    "billing.health",
    "billing.http",
    "billing.idempotency",
    "billing.prices.documents",
    "billing.prices.envelope",
    "billing.prices.models",
    "billing.prices.pages",
    "billing.prices.relays",
    "billing.problems",
    "billing.site",
    "billing.tokens.pages",
)


def modules(*packages: str) -> dict[str, Path]:
    """Dotted names of all our modules, by package."""
    found = {}
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


OURS = modules("pricing", "billing")


def imports(path: Path) -> Iterator[str]:
    """Everything a module imports, with what it imports from a module of ours as a dotted name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in OURS else node.module


IMPORTS = {name: sorted(set(imports(path))) for name, path in OURS.items()}


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("module", [name for name in OURS if within(name, "pricing")])
def test_pricing_stands_alone(module):
    """What counts tokens has no other dependency than tiktoken: a gateway may use it at its own edge."""
    needs = {"tiktoken"} if within(module, "pricing.tokens") else {"msgspec"}
    allowed = {*sys.stdlib_module_names, "pricing", *needs}
    assert [name for name in IMPORTS[module] if name.split(".")[0] not in allowed] == []


def test_nothing_imports_the_app_but_who_runs_it():
    importers = {name for name, imported in IMPORTS.items() if "billing.app" in imported}
    assert {name for name in importers if not within(name, "billing.cli", "billing.demo")} == set()


def test_nothing_imports_the_command_line():
    importers = {name for name, imported in IMPORTS.items() if any(within(one, "billing.cli") for one in imported)}
    assert {name for name in importers if not within(name, "billing.cli", "billing.demo")} == set()


def test_only_the_outermost_rooms_know_litestar():
    importers = {name for name, imported in IMPORTS.items() if any(within(one, "litestar") for one in imported)}
    inner = {name for name in importers if not within(name, *WEB, "billing.cli.serve") and not name.endswith("api")}
    assert inner == set()


def test_apis_are_imported_from_outside_only():
    """By the app, and by commands that take and give the same shapes as an endpoint."""
    apis = {f"billing.{domain}.api" for domain in DOMAINS}
    importers = {name for name, imported in IMPORTS.items() if apis & set(imported)}
    outside = {name for name in importers if within(name, "billing.app", "billing.cli") or name.endswith(".api")}
    assert importers - outside == set()


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_store_knows_only_its_own_domain(domain):
    store = f"billing.{domain}.store"
    others = [f"billing.{other}" for other in DOMAINS if other != domain]
    assert [name for name in IMPORTS.get(store, []) if within(name, *others) and name.endswith("store")] == []


def test_a_store_knows_no_use_case():
    """What a store imports of its own domain are pure files: those that import no database."""
    for domain in DOMAINS:
        store = f"billing.{domain}.store"
        for name in IMPORTS.get(store, []):
            if within(name, f"billing.{domain}"):
                assert not any(within(one, "psycopg", "billing.db.pool") for one in IMPORTS[name]), (store, name)
