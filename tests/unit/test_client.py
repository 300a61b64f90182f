"""The client against a judge that follows a script: what it rides out, and what it stops at."""

import asyncio
import contextlib
import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import arena.client.asker
import arena.client.client
import arena.client.deadline
import arena.client.pace
import arena.client.replies
import pytest
from arena.client.asker import LONGEST_REST, REST, Asker, Endpoint
from arena.client.client import Client
from arena.client.deadline import LEAVE, Deadline
from arena.data.games import plan_games
from arena.data.questions import Question
from arena.journals.batch_games import BatchGames
from arena.journals.journal import Journal, read_records
from arena.support.errors import BudgetSpent, JobEnds, JournalError, JudgeError, OpenGames
from arena.support.http import Failure, HttpClient
from arena.support.interrupts import Interrupts
from scripted import KEY, Call, Reply, completion, error, judge
from test_games import answers, settings

NOBODY = "http://127.0.0.1:9/v1"  # listens there
QUESTIONS = [Question(f"q{n}", "hard", f"What is {n}?", n + 1) for n in range(40)]


def plan(some_settings, questions: int, model: str = "mine"):
    asked = QUESTIONS[:questions]
    ours = answers(**{q.uid: f"{model} {q.uid}" for q in asked})
    theirs = answers(**{q.uid: f"base {q.uid}" for q in asked})
    return plan_games(some_settings, asked, ours, {"base": theirs})


@dataclasses.dataclass
class Played:
    """One run of a client."""

    error: Exception | None
    records: dict
    lines: list
    messages: list[str]
    client: Client
    games: BatchGames
    by_model: dict[str, list]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Back-off in hundredths of what users get; nothing else differs."""
    monkeypatch.setattr(arena.client.pace, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(arena.client.pace, "LONGEST_DELAY", 0.6)
    monkeypatch.setattr(arena.client.pace, "CUT_EVERY", 0.0)
    monkeypatch.setattr(arena.client.asker, "POLL", 0.01)
    monkeypatch.setattr(arena.client.asker, "SLOWEST_POLL", 0.05)


@pytest.fixture
def impatient(monkeypatch):
    """Patience in hundredths as well, where its end is awaited: elsewhere a slow machine could pass
    for a dead judge."""
    monkeypatch.setattr(Asker, "patience", 0.6)


@pytest.fixture
def long_rest(monkeypatch):
    """An address that fails rests longer than any test runs."""
    for name in ("REST", "LONGEST_REST"):
        monkeypatch.setattr(arena.client.asker, name, 3600.0)


class StartedServer:
    """A judge of this batch, as the client sees it: `ready` says what the test has it say."""

    patience = 1.2
    parallel = None

    def __init__(self, *ready: Callable[[], Awaitable[None]]):
        self._ready = iter(ready)

    async def ready(self) -> None:
        if wait := next(self._ready, None):
            await wait()


@pytest.fixture
def play(tmp_path):
    """Play games against a server; the same journal in every call of a test."""

    def run(
        url, *, questions=4, timeout=600.0, endpoints=(), models=None, during=None, **options
    ) -> Played:
        some_settings = settings(**options.pop("settings", {}))
        models = models or {"m": plan(some_settings, questions)}
        endpoints = endpoints or [{"url": url, "key": KEY}]
        options = {"deadline": Deadline(), "parallel": 8, **options}
        told: list[str] = []

        async def go(games: BatchGames) -> tuple[Client, Exception | None]:
            asker = Asker(endpoints, some_settings, timeout=timeout, log=told.append)
            client = Client(games, asker, log=told.append, **options)
            if during:
                during(client)
            failure = None
            try:
                with Interrupts() as interrupts, interrupts.handled_by(client.interrupt):
                    await client.run()
            except Exception as caught:
                failure = caught
            finally:
                await asker.close()
            return client, failure

        journals = {}
        with contextlib.ExitStack() as stack:
            for model, games in models.items():
                journal = Journal(tmp_path / f"{model}.jsonl", {game.digest for game in games})
                journals[model] = stack.enter_context(journal)
            games = BatchGames(some_settings, models, journals)
            client, failure = asyncio.run(asyncio.wait_for(go(games), 300))
        lines = {model: list(read_records(journal.path)) for model, journal in journals.items()}
        first, records = next(iter(models)), journals[next(iter(models))].records
        return Played(failure, records, lines[first], told, client, games, lines)

    return run


def left_of(played: Played) -> int:
    return played.games.total() - played.games.played()


def states(played: Played) -> Counter:
    return Counter(record.state for record in played.records.values())


def ended(played: Played) -> Counter:
    """The states of a run without an error."""
    assert played.error is None
    return states(played)


def stopped(played: Played, kind: type[Exception] = JudgeError) -> str:
    """The message of a run that ended with an error."""
    assert isinstance(played.error, kind)
    return str(played.error)


def position(call: Call) -> int:
    """Of the question that a call is about."""
    return int(call.user.split("?")[0].rsplit(" ", 1)[1])


def late(seconds: float | Callable[[Call], float]):
    """Every call gets a good reply after so many seconds."""

    async def script(call: Call) -> Reply:
        await asyncio.sleep(seconds(call) if callable(seconds) else seconds)
        return completion()

    return script


def both(*servers) -> list[dict[str, str]]:
    """Addresses of one judge."""
    return [{"url": server.url, "key": KEY} for server in servers]


def test_every_game_is_asked_once_and_written_once(play):
    began = time.monotonic()
    with judge(lambda call: completion(f"about {position(call)} [[B>A]]")) as server:
        played = play(server.url, questions=10)
    assert ended(played) == {"ok": 20}
    assert len(server.calls) == len(played.lines) == 20
    (game, *_), first = plan(settings(), 1), server.calls[0].body
    assert first == settings().request(game), "the settings and nothing more"
    record = next(line for line in played.lines if (line.uid, line.game) == ("q7", 1))
    assert (record.label, record.answer, record.attempts) == ("B>A", "about 7 [[B>A]]", 1)
    assert record.usage == {"prompt": 7, "cached": 0, "completion": 3}
    assert 0 < record.seconds < time.monotonic() - began
    assert record.time.startswith("20")


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (error(500, "internal", "EngineDeadError"), "broken"),
        (Reply(429, "", {"Retry-After": "0.02"}), "throttled"),
        (None, "broken"),
        (completion("so [[A>B]]").encode()[:-20], "broken"),
        (b"no HTTP\r\n\r\n", "broken"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nno length\r\n", "broken"),
        (OK + b"Connection: close\r\nContent-Encoding: gzip\r\n\r\nbare", "broken"),
    ],
)
def test_transient_failures_are_retried_and_counted(play, fault, kind):
    """The first call of each prompt gets `fault`; bytes are sent as they are."""

    def script(call: Call) -> Reply | None:
        if call.again == 0 and isinstance(fault, bytes):
            call.send(fault)
            return None
        return completion() if call.again else fault

    with judge(script) as server:
        played = play(server.url, questions=4, parallel=2)
    assert ended(played) == {"ok": 8}
    assert len(server.calls) == 16
    assert played.client.counts.failed == {kind: 8}
    assert {record.attempts for record in played.lines} == {2}
    assert "Bearer" not in played.client.breaker.last


def test_a_proxy_gets_our_key_and_no_password_of_netrc(tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("default login anonymous password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    async def status(reader, writer) -> None:
        known = b"Authorization: Bearer k\r\n" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %d -\r\nContent-Length: 0\r\n\r\n" % (200 if known else 401))
        writer.close()

    async def call() -> int:
        server, http = await asyncio.start_server(status, "127.0.0.1"), HttpClient()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        reply = await http.call("http://api.example/v1", key="k", timeout=60)
        await http.close()
        return reply.status

    assert asyncio.run(call()) == 200


def test_a_slow_reply_times_out_as_a_whole(play):
    async def slow(call: Call) -> Reply | None:
        if call.again:
            return completion()
        for byte in completion().encode():
            call.send(bytes([byte]))
            await asyncio.sleep(0.1)  # 250 bytes: each in time, all too late
        return None

    with judge(slow) as server:
        played = play(server.url, questions=1, timeout=3.0)
    assert states(played) == {"ok": 2}
    assert set(played.client.counts.failed) == {"timeout"}
    assert played.client.counts.failed["timeout"] >= 2


def test_games_without_a_verdict_are_asked_again_by_a_setting(play):
    def script(call: Call) -> Reply:
        good = position(call) == 0 and call.body.get("seed") == 6
        return completion("[[A=B]]" if good else "hm", "stop" if good else "length")

    again = {"ask_again": {"times": 2, "max_tokens": 900, "seed": 5}}
    with judge(script) as server:
        played = play(server.url, questions=2, settings=again)
        assert played.error is None
        assert len(server.calls) == 4 * 3
        play(server.url, questions=2, settings=again)
        assert len(server.calls) == 4 * 3, "the next run asks no more"
    assert Counter((c.body["max_tokens"], c.body.get("seed")) for c in server.calls) == {
        (100, None): 4,
        (900, 5): 4,
        (900, 6): 4,
    }
    assert played.client.counts.again == 8
    assert len(played.lines) == 12, "each asking is on record, with its tokens"
    last = {(r.uid, r.game): r for r in played.records.values()}
    assert last["q0", 0].attempts == last["q1", 0].attempts == 3
    assert last["q0", 0].reason == "verdict after asking again 2 times"
    assert last["q1", 0].reason.endswith("verdict, also after asking again 2 times")
    assert (last["q1", 0].state, last["q1", 0].label) == ("truncated", None)


def test_fewer_requests_where_the_judge_says_too_many(play):
    """A judge that takes three at a time: the client ends up near three, not at sixteen."""
    clients, refused = [], []

    async def script(call: Call) -> Reply:
        if server.open > 3:
            refused.append(call.number)
            return Reply(429, "")
        while server.open < len(clients[0].tasks):  # until all that the client has sent is here
            await asyncio.sleep(0.001)
        return completion()

    with judge(script) as server:
        played = play(server.url, questions=40, parallel=16, during=clients.append)
    assert states(played) == {"ok": 80}
    late = [number for number in refused if number > len(server.calls) / 2]
    assert len(late) < len(refused) / 2 < 60


def test_retry_after_holds_all_requests(play):
    wait = Reply(429, "", {"Retry-After": "0.5"})
    with judge(lambda call: wait if call.number == 0 else completion()) as server:
        play(server.url, questions=20, parallel=2)
    assert max(b.at - a.at for a, b in itertools.pairwise(server.calls)) > 0.45


def test_a_retry_after_of_a_day_is_not_waited_for(play, monkeypatch):
    monkeypatch.setattr(arena.client.replies, "LONGEST_WAIT", 0.05)
    monkeypatch.setattr(arena.client.pace, "PATIENCE_THROTTLED", 60.0)
    day = Reply(429, {"error": {"message": "quota"}}, {"Retry-After": "86400"})
    with judge(lambda call: day if call.number == 0 else completion()) as server:
        assert play(server.url).error is None
        server.script = lambda call: day
        monkeypatch.setattr(arena.client.pace, "PATIENCE_THROTTLED", 0.5)
        said = stopped(play(server.url, questions=6))
    assert "too many requests" in said
    assert "quota" in said and "86400 s" in said


def test_a_wrong_key_stops_at_once_and_is_not_repeated(play):
    with judge(lambda call: completion()) as server:
        wrong = {"url": server.url, "key": "another-jobs-key-77"}
        said = stopped(play(server.url, endpoints=[wrong]))
    assert "401" in said and "key" in said
    assert (server.refused, server.calls) == (1, [])
    assert "another-jobs-key-77" not in said
    assert "***" in said, "the server had repeated it"


@pytest.mark.parametrize("status", [403, 404, 405, 429])
def test_an_external_judge_without_a_list_of_models_gives_a_warning(play, status):
    with judge(lambda call: completion()) as server:
        server.models = lambda: Reply(status, {"error": {"message": "Missing scopes"}})
        external = play(server.url)
        assert ended(external) == {"ok": 8}
        assert external.messages[0].startswith("warning: ")
        assert str(status) in external.messages[0]
        server.models = lambda: Reply(401, "")
        assert "401" in stopped(play(server.url, questions=5))


@pytest.mark.parametrize("status", [500, 503])
def test_a_dead_judge_behind_a_live_api_opens_the_circuit(play, status, impatient):
    """It lists its models and fails every game: within the patience we stop, with few calls."""
    with judge(lambda call: error(status, "internal", "EngineDeadError")) as server:
        played = play(server.url, questions=40, parallel=4)
    assert "no reply for" in stopped(played)
    assert "EngineDeadError" in stopped(played)
    assert len(server.calls) < 25, "one at a time once the circuit is open"
    assert played.records == {}


def test_requests_that_hang_do_not_keep_the_circuit_from_its_trials(play, impatient):
    async def script(call: Call) -> Reply:
        await asyncio.sleep(0.02 if call.number else 0)
        await asyncio.sleep(3600 if 0 < call.number < 3 else 0)
        return Reply(500, "") if call.number else completion()

    with judge(script) as server:
        assert "no reply for" in stopped(play(server.url, questions=40, parallel=8))


def test_an_unreachable_external_judge_ends_the_job(play, impatient):
    assert "has been unhealthy for" in stopped(play(NOBODY))


def test_a_judge_that_recovers_closes_the_circuit(play):
    """Twelve failures in a row open the circuit; one good reply closes it."""
    with judge(lambda call: Reply(500, "") if call.number < 12 else completion()) as server:
        played = play(server.url, questions=20, parallel=6)
    assert ended(played) == {"ok": 40}


def test_an_unreachable_address_is_skipped(play, long_rest):
    with judge(lambda call: completion()) as server:
        server.names = ("alias",)
        two = [{"url": NOBODY}, {"url": server.url, "key": KEY, "model": "alias"}]
        played = play(server.url, questions=10, endpoints=two)
    assert ended(played) == {"ok": 20}
    assert {call.body["model"] for call in server.calls} == {"alias"}
    assert played.client._asker._endpoints[0].failures == 1, "left out while it rests"


@pytest.mark.parametrize("fault", [Reply(500, ""), Reply(503, ""), Reply(429, ""), Reply(401, "")])
def test_games_of_a_failing_address_go_to_the_healthy_one(play, fault, long_rest):
    """Also one that still starts while the failing one does not even list its models."""
    with judge(lambda call: fault) as bad, judge(lambda call: completion()) as good:
        bad.models, listed = lambda: fault, good.models
        good.models = lambda: Reply(503, "") if good.looks < 3 else listed()
        played = play(bad.url, questions=20, parallel=4, endpoints=both(bad, good))
    assert ended(played) == {"ok": 40}
    assert len(good.calls) == 40
    assert len(bad.calls) <= 4, "those that were open when it failed first"


@pytest.mark.parametrize(("apart", "rest"), [(0.0, REST), (LONGEST_REST, LONGEST_REST)])
def test_the_pause_of_a_failing_address_has_a_limit(now, apart, rest):
    """Requests that were open when it failed count once."""
    one = Endpoint(0, "http://judge", KEY, None)
    for _ in range(2000):
        now[0] += apart
        one.failed(Failure("throttled", "too many requests"))
    assert one.rests_until - now[0] == rest


def test_an_address_that_rejects_us_does_not_stop_one_that_rests(play):
    def rest(client: Client) -> None:
        client._asker._endpoints[1].failed(Failure("broken", "HTTP 500"))

    with judge(lambda call: Reply(401, "")) as bad, judge(lambda call: completion()) as good:
        assert ended(play(bad.url, endpoints=both(bad, good), during=rest)) == {"ok": 8}


def test_the_batch_stops_when_all_addresses_refuse_the_key(play):
    with judge(lambda call: Reply(401, "")) as one, judge(lambda call: Reply(403, "")) as two:
        played = play(one.url, questions=5, parallel=1, endpoints=both(one, two))
    assert "API key" in stopped(played)


def test_requests_go_to_the_address_with_fewest_open(play):
    chosen = []  # open requests of the chosen address, and of the other

    def listen(client: Client) -> None:
        (first, second), ask = client._asker._endpoints, client._asker._ask

        def listened(one: Endpoint, body: dict) -> Awaitable:
            chosen.append((one.open, (second if one is first else first).open))
            return ask(one, body)

        client._asker._ask = listened

    with judge(lambda call: completion()) as one, judge(lambda call: completion()) as two:
        play(one.url, questions=20, parallel=4, endpoints=both(one, two), during=listen)
    assert chosen[:5] == [(0, 0), (0, 0), (0, 1), (1, 1), (1, 2)]
    assert all(here <= there for here, there in chosen)
    assert max(here for here, _ in chosen) == 1


def refusal(text: str, **more: str) -> Reply:
    return error(400, "invalid_request_error", text, **more)


NO_ROOM = (  # vLLM's words
    "'max_tokens' or 'max_completion_tokens' is too large: 100000. This model's maximum context "
    "length is 8192 tokens and your request has 413 input tokens (100000 > 8192 - 413)."
)


@pytest.mark.parametrize("text", ["max_tokens is not supported with this model", NO_ROOM])
def test_a_request_that_is_always_refused_stops_the_batch(play, text):
    with judge(lambda call: refusal(text)) as server:
        server.control = lambda: refusal(text)
        played = play(server.url, parallel=4)
    assert text in stopped(played)
    assert (len(server.calls), server.controls) == (1, 1)
    assert played.records == {}, "nothing is written: the next run asks them all"


@pytest.mark.parametrize("questions", [40, 4])
def test_no_game_is_lost_when_the_credit_runs_out(play, questions):
    empty = refusal("Your credit balance is too low")
    with judge(lambda call: completion() if call.number < 4 else empty) as server:
        server.control = lambda: empty
        played = play(server.url, questions=questions, parallel=2)
        assert "credit balance" in stopped(played)
        assert states(played) == {"ok": 4}
        assert len(server.calls) <= 4 + 2
        server.script, server.control = lambda call: completion(), completion
        assert states(play(server.url, questions=questions)) == {"ok": 2 * questions}


def test_a_reply_to_an_earlier_request_does_not_excuse_a_refusal(play):
    """The credit ran out after a slow request was sent; its reply comes while we test."""

    async def script(call: Call) -> Reply:
        if call.number == 2:
            return refusal("no credit")
        if call.number == 1:
            await asyncio.sleep(0.2)
        return completion()

    with judge(script) as server:
        server.control = lambda: refusal("no credit")
        played = play(server.url, questions=2, parallel=2)
    assert "no credit" in stopped(played)
    assert set(states(played)) == {"ok"}


def test_refusals_are_counted_per_address(play):
    with judge(lambda call: completion()) as rich, judge(lambda call: refusal("no credit")) as poor:
        poor.control = lambda: refusal("no credit")
        played = play(rich.url, questions=20, parallel=4, endpoints=both(rich, poor))
    assert "no credit" in str(played.error)
    assert set(states(played)) <= {"ok"}
    assert rich.controls == 0
    assert 1 <= poor.controls <= 4, "each open game may be waiting for its own test"


@pytest.mark.parametrize("is_odd", [lambda n: n < 2, lambda n: n == 11, lambda n: n < 7])
@pytest.mark.parametrize("parallel", [1, 4])
def test_single_refused_games_are_rejected(play, is_odd, parallel):
    def script(call: Call) -> Reply:
        return refusal("odd prompt") if is_odd(position(call)) else completion()

    odd = 2 * sum(map(is_odd, range(12)))
    with judge(script) as server:
        played = play(server.url, questions=12, parallel=parallel)
    assert ended(played) == {"rejected": odd, "ok": 24 - odd}
    assert {record.attempts for record in played.lines} == {1}
    assert len(server.calls) == 24
    assert 1 <= server.controls <= odd


def test_too_long_is_trusted_from_a_judge_that_has_replied(play):
    """Also in the next run, but not where the replies are others', taken in by `adopt`."""

    def script(call: Call) -> Reply:
        return refusal(NO_ROOM) if position(call) else completion()

    with judge(script) as server:
        played = play(server.url, questions=12, parallel=1)
        assert ended(played) == {"ok": 2, "too_long": 22}
        assert states(play(server.url, questions=20)) == {"ok": 2, "too_long": 38}
        assert server.controls == 0
        path = played.games.journals["m"].path
        adopted = [dataclasses.replace(record, attempts=0) for record in played.lines[:2]]
        path.write_text("".join(record.line() for record in adopted))
        server.control = lambda: refusal(NO_ROOM)
        assert isinstance(play(server.url, questions=12).error, JudgeError)


def test_the_control_request_is_retried(play):
    replies = iter([Reply(500, ""), Reply(429, "")])
    with judge(lambda call: refusal("odd") if position(call) == 3 else completion()) as server:
        server.control = lambda: next(replies, completion())
        played = play(server.url, questions=4, parallel=1)
    assert ended(played) == {"ok": 6, "rejected": 2}
    assert server.controls == 4


def test_unchecked_refusals_stay_open(play):
    with judge(lambda call: refusal("odd prompt")) as server:
        server.control = lambda: Reply(500, "")
        played = play(server.url, exceeded=lambda: "enough" if len(server.calls) > 3 else None)
    assert isinstance(played.error, OpenGames)
    assert (left_of(played), played.records) == (8, {})


def test_a_refused_repetition_keeps_the_first_reply(play):
    def script(call: Call) -> Reply:
        return refusal(NO_ROOM) if call.again else completion("A is", "length")

    again = {"ask_again": {"times": 1, "max_tokens": 60_000}}
    with judge(script) as server:
        played = play(server.url, questions=2, settings=again)
        play(server.url, questions=2, settings=again)
    assert len(server.calls) == 8, "the next run asks no more"
    record = next(iter(played.records.values()))
    assert (record.state, record.answer, record.attempts) == ("truncated", "A is", 2)
    assert "; too_long when asked again: 'max" in record.reason


def test_near_the_deadline_open_games_finish_and_none_start(play, monkeypatch):
    monkeypatch.setattr(arena.client.deadline, "QUICKEST", 1000.0)
    end = Deadline()

    async def script(call: Call) -> Reply:
        if call.number == 6:
            end.end = time.monotonic() + LEAVE + 900  # a game needs at least 1000
        await asyncio.sleep(0.1)
        return completion()

    with judge(script) as server:
        played = play(server.url, questions=40, parallel=4, deadline=end)
    assert "the job ends soon" in stopped(played, OpenGames)
    assert len(server.calls) == len(played.records) == 80 - left_of(played)
    assert 7 <= len(server.calls) < 7 + 4, "of the others three may be on their way"


def test_at_the_deadline_open_games_are_given_up(play):
    end = Deadline()

    async def script(call: Call) -> None:
        end.end = time.monotonic() + LEAVE + 0.5
        await asyncio.sleep(3600)

    with judge(script) as server:
        played = play(server.url, questions=2, deadline=end)
    assert isinstance(played.error, OpenGames)
    assert played.lines == []


def test_a_used_up_budget_ends_the_asking(play):
    with judge(lambda call: completion()) as server:
        played = play(
            server.url, questions=9, exceeded=lambda: "no" if len(server.calls) > 9 else None
        )
    assert " open: no. The next run" in stopped(played, BudgetSpent)
    assert 10 <= len(server.calls) < 10 + 8
    assert len(played.records) == len(server.calls)


def test_a_budget_of_gpu_hours_is_used_up_while_the_judge_loads(play):
    with judge(lambda call: completion()) as server:
        server.models = lambda: error(503, "unavailable_error", "loading")
        played = play(server.url, exceeded=lambda: "no hours" if server.looks > 3 else None)
    assert "8 games are open: no hours" in stopped(played, BudgetSpent)
    assert server.calls == []


def test_the_journal_is_synced_regularly(play, monkeypatch):
    """Not at each game, and not only at the end: a whole node may die."""
    synced, sync = [], Journal.sync
    monkeypatch.setattr(
        Journal, "sync", lambda self: (synced.append(len(self.records)), sync(self))
    )

    async def script(call: Call) -> Reply:
        while position(call) == 1 and len(synced) < 2:
            await asyncio.sleep(0.01)
        return completion()

    with judge(script) as server:
        monkeypatch.setattr(arena.client.client, "SYNC_EVERY", 3600.0)
        assert play(server.url, questions=1).error is None
        assert synced == [2], "at its end"
        monkeypatch.setattr(arena.client.client, "SYNC_EVERY", 0.0)
        assert play(server.url, questions=2).error is None
    assert (synced[1], synced[-1]) == (2, 4), "while the games of the second question are open"


def test_a_lost_lock_stops_the_writing(play):
    with judge(lambda call: completion()) as server:
        played = play(server.url, lost=lambda: "another took it" if len(server.calls) > 3 else None)
    assert "another took it" in stopped(played, JournalError)


def test_programming_errors_are_raised(play):
    with judge(lambda call: completion()) as server:
        played = play(server.url, during=lambda client: setattr(client, "_finish", None))
    assert "not callable" in stopped(played, TypeError)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, "x" * 110 + KEY + " and on" * 40),
        Reply(401, {"error": {"message": "y" * 290 + KEY}}),
        completion(None, refusal=f"with {KEY} I do nothing"),
        error(400, "invalid", f"{KEY} is refused", code="content_filter"),
        error(500, "internal", f"could not use key {KEY}"),
    ],
)
def test_no_part_of_a_key_is_written_or_shown(play, reply, impatient):
    with judge(lambda call: reply) as server:
        played = play(server.url)
    said = " ".join(played.messages) + str(played.error)
    said += "".join(record.line() for record in played.lines)
    assert "*" in said
    assert KEY[:6] not in said


def test_models_of_a_batch_go_through_the_questions_together(play):
    models = {name: plan(settings(), 10, name) for name in ("x", "y", "z")}
    sent = []  # requests may overtake each other on their way to the judge

    def listen(client: Client) -> None:
        ask = client._asker.ask
        client._asker.ask = lambda body: sent.append(body["messages"]) or ask(body)

    with judge(lambda call: completion()) as server:
        played = play(server.url, models=models, parallel=6, during=listen)
    assert played.error is None
    where = {str(call.body["messages"]): position(call) for call in server.calls}
    assert [where[str(messages)] for messages in sent] == [n for n in range(10) for _ in range(6)]
    assert [len(lines) for lines in played.by_model.values()] == [20, 20, 20]


def test_a_prompt_that_models_share_is_asked_and_charged_once(play):
    """Two checkpoints with the same answers, and a third that has only its own."""
    models = {"x": plan(settings(), 5, "same"), "y": plan(settings(), 5, "same")}
    models["z"] = plan(settings(), 5, "other")
    with judge(lambda call: completion(f"on {position(call)} [[A>B]]")) as server:
        played = play(server.url, models=models)
        assert played.error is None
        assert len(server.calls) == 20
        again = play(server.url, models={"y": models["y"]})
        play(server.url, models={"late": models["x"], "x": models["x"]})
        assert len(server.calls) == 20, "what a sibling asked is in our own journal"
    shared = {(line.attempts, line.usage["prompt"]) for line in played.by_model["y"]}
    assert (shared, len(played.by_model["y"])) == ({(0, 0)}, 10)
    assert sum(line.usage["prompt"] for line in played.by_model["x"]) == 7 * 10
    assert states(again) == {"ok": 10}


def test_a_shared_prompt_without_a_verdict_is_asked_again_once_for_all(play):
    models = {name: plan(settings(), 2, "same") for name in ("x", "y")}
    again = {"ask_again": {"times": 1}}
    with judge(lambda call: completion("hm")) as server:
        played = play(server.url, models=models, settings=again)
    assert len(server.calls) == 2 * 4
    assert [len(played.by_model[model]) for model in "xy"] == [8, 4]
    assert {line.state for line in played.by_model["y"]} == {"unparsed"}


def test_a_shared_reply_without_a_verdict_counts_for_all_at_the_end(play):
    models, again = {name: plan(settings(), 2, "same") for name in "xy"}, {"times": 1}
    with judge(lambda call: completion("hm")) as server:
        enough = {"exceeded": lambda: "no" if len(server.calls) > 3 else None}
        played = play(server.url, models=models, settings={"ask_again": again}, **enough)
        assert [line.state for line in played.by_model["y"]] == ["unparsed"] * 4
        server.script = lambda call: completion()
        play(server.url, models=models, settings={"ask_again": again})
        calls, turned = len(server.calls), dict(reversed(models.items()))
        played = play(server.url, models=turned, settings={"ask_again": again})
    assert len(server.calls) == calls <= 8
    last = [{r.digest: r.state for r in played.by_model[model]} for model in "xy"]
    assert last[0] == last[1] and "ok" in last[0].values()


def test_a_model_is_reported_when_it_is_complete(play):
    """The second model has one question more: it is complete later."""
    told = []
    models = {"short": plan(settings(), 2, "short"), "long": plan(settings(), 4, "long")}

    def listen(client: Client) -> None:
        client._games.completed = lambda model: told.append((model, len(server.calls)))

    with judge(lambda call: completion()) as server:
        play(server.url, models=models, parallel=1, during=listen)
    assert told == [("short", 7), ("long", 12)] or told == [("short", 8), ("long", 12)]


def test_a_starting_judge_is_awaited_and_its_failure_stops_the_batch(play):
    async def gone() -> None:
        raise JudgeError("CUDA out of memory", "judge_start")

    with judge(lambda call: Reply(500, "")) as server:
        assert play(server.url, server=StartedServer(gone)).error.kind == "judge_start"
        assert server.calls == []
        died = play(server.url, questions=20, server=StartedServer(lambda: asyncio.sleep(0), gone))
    assert "CUDA out of memory" in stopped(died)
    assert len(server.calls) <= 16, "those that were open when five had failed"


def test_the_job_ends_before_the_judge_is_ready(play):
    end = Deadline(61.0)  # leaves a second
    started = StartedServer(lambda: asyncio.sleep(60))
    played = play(NOBODY, server=started, deadline=end)
    assert "8 games are open: the job ends before the judge is ready" in stopped(played, JobEnds)


@pytest.mark.parametrize("start", [0.0, 1.5])
def test_a_job_with_more_time_continues(play, start):
    """Near its end, also while the judge loads, Slurm is asked once more: there is an hour."""
    asked = []
    end = Deadline(60 + 10 + 0.5, ask=lambda: asked.append(1) or 3600.0)

    with judge(late(0.2)) as server:
        started = StartedServer(lambda: asyncio.sleep(start))
        played = play(server.url, questions=10, parallel=4, deadline=end, server=started)
    assert (len(asked), ended(played)) == (1, {"ok": 20})
    assert played.messages[-1] == "the job was given more time"


def test_one_game_is_sent_before_all_others(play):
    """A judge that refuses or garbles everything is met with one request, not with a flood."""
    clients, sent = [], []

    def script(call: Call) -> Reply:
        sent.append(len(clients[-1].tasks))
        return completion()

    with judge(script) as server:
        play(server.url, questions=10, parallel=8, during=clients.append)
        assert (sent[:2], max(sent)) == ([1, 8], 8)
        sent.clear()
        play(server.url, questions=20, parallel=8, during=clients.append)
        assert (sent[0], max(sent)) == (8, 8), "it has replied before"


def test_a_judge_that_never_gives_a_verdict_is_stopped(play):
    with judge(lambda call: completion("I would rather not say.")) as server:
        played = play(server.url, questions=40, parallel=2, no_verdict_limit=6)
        assert "I would rather not say." in stopped(played)
        assert played.error.kind == "no_verdict"
        assert len(server.calls) <= 6 + 2
        asked = len(played.lines)
        server.script = lambda call: completion("hm" if call.number < asked + 4 else "[[A>B]]")
        played = play(server.url, questions=40, parallel=2, no_verdict_limit=6)
    assert played.error is None, "four more replies without a verdict are no reason"
    assert len(server.calls) - asked <= 80 - asked + 2, "what it said is kept"
