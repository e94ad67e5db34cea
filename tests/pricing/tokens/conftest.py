"""The benchmark's reading and scoring of recordings, shared with the tests; the recordings, where they are there."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def scoring() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tokens_benchmark", ROOT / "benchmarks" / "tokens.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def vectors(scoring: ModuleType) -> Path:
    path: Path = scoring.VECTORS
    if not path.exists():
        pytest.skip("the recordings are not beside this checkout (../shared/data/tokens)")
    return path
