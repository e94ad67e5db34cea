"""kill -9 while spending is authorized and captured: no hold leaks, none is captured twice, every sum is right."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from pricing import money
from tests.crash.killing import ADMIN, Kill, Sender, kill_both, kill_service, survivors
from tests.metering.events import GPT_4_CHARGE, event

GATEWAYS = 4
ACCOUNT = "acct_crash"
PAID = "1000"
LASTS_SECONDS = 2


class Gateway(Sender):
    """Authorizes, then posts the event that captures; sends each again until it is answered. Some it forgets."""

    def __init__(self, url: str, number: int) -> None:
        super().__init__(url, number)
        self.forgotten = 0

    def run(self) -> None:
        with httpx.Client(base_url=self.url, headers=ADMIN, timeout=10) as client:
            while not self.stopping.is_set():
                name = f"{self.number}-{len(self.acknowledged)}-{self.forgotten}"
                wanted = {
                    "account": ACCOUNT,
                    "model": "gpt-4",
                    "max_cost": "0.01",
                    "expires_in": LASTS_SECONDS,
                    "id": name,
                }
                hold = self.send(client, "/v1/authorizations", wanted)
                if hold.get("code") == "authorization_ended":  # granted unheard, and the service was away for too long
                    self.forgotten += 1
                    continue
                assert hold["id"] == name
                if (len(self.acknowledged) + self.forgotten) % 5 == 4:
                    self.forgotten += 1
                    continue
                result = self.send(client, "/v1/events", event(ACCOUNT, name, authorization=name))
                assert result["rejected"] == 0
                self.acknowledged.append(name)

    @staticmethod
    def send(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
        while True:
            try:
                answer = client.post(path, json=body)
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            if answer.status_code == 503:
                time.sleep(0.05)
                continue
            assert answer.status_code in (200, 201) or "authorization_ended" in answer.text, answer.text
            return dict(answer.json())


@pytest.mark.parametrize("kill", [kill_service, kill_both], ids=["service", "both"])
def test_no_hold_outlives_a_crash(kill: Kill, folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    data = folder / f"crash-holds-{request.node.callspec.id}"
    with survivors(kill, data, tmp_path, started) as (url, gateways):
        check(url, gateways)


def started(url: str) -> list[Gateway]:
    httpx.post(f"{url}/v1/accounts", headers=ADMIN, json={"name": "Ada", "id": ACCOUNT}).raise_for_status()
    key = {**ADMIN, "Idempotency-Key": "paid"}
    httpx.post(f"{url}/v1/accounts/{ACCOUNT}/top-ups", headers=key, json={"amount": PAID}).raise_for_status()
    gateways = [Gateway(url, number) for number in range(GATEWAYS)]
    for gateway in gateways:
        gateway.start()
    return gateways


def check(url: str, gateways: list[Gateway]) -> None:
    """Each captured event is charged once; what was forgotten, or lost in a crash, is free again once expired."""
    captured = [name for gateway in gateways for name in gateway.acknowledged]
    expected = money.parse(PAID) - len(captured) * money.parse(GPT_4_CHARGE)
    with httpx.Client(base_url=url, headers=ADMIN, timeout=30) as client:
        assert sum(gateway.forgotten for gateway in gateways) > 0
        deadline = time.monotonic() + 10 * LASTS_SECONDS
        while balance(client)["held"] != "0":
            assert time.monotonic() < deadline, "a hold leaked"
            time.sleep(0.1)
        now = balance(client)
        assert money.parse(now["posted"]) == money.parse(now["available"]) == expected
        for name in captured:
            found = client.get(f"/v1/authorizations/{name}", params={"account": ACCOUNT}).json()
            assert (found["state"], found["event"]) in (
                ("captured", {"source": "gateway-1", "id": name}),
                ("expired", None),  # the service was away for longer than the hold lasted
            )


def balance(client: httpx.Client) -> dict[str, Any]:
    return dict(client.get("/v1/balance", params={"account": ACCOUNT}).json())
