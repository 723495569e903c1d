"""The blocking client, against real servers."""

import os
import subprocess
import tempfile
import threading
import time
import unittest
from typing import Any

import plimsoll
from server_process import ServerProcess


def eventually(holds) -> bool:  # type: ignore[no-untyped-def]
    give_up = time.monotonic() + 10
    while not holds():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.01)
    return True


class ClientTest(unittest.TestCase):
    server: ServerProcess

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = ServerProcess()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.kill()

    def setUp(self) -> None:
        self.client = plimsoll.Client(self.server.address)
        self.addCleanup(self.client.close)

    def test_reserve_extend_release(self) -> None:
        with self.client.reserve(60, 40, tenant="a") as held:
            self.assertEqual(held.granted.blocks, 7)
            self.assertFalse(held.local)
            self.assertTrue(held.held)
            held.extend(120)
            self.assertEqual((held.granted.blocks, held.total_tokens), (8, 120))
            with self.assertRaises(plimsoll.Refused) as refused:
                self.client.reserve(60, 40)
            self.assertEqual(refused.exception.refusal.decision, "wait")
            with self.assertRaises(plimsoll.Refused):
                held.extend(200)
            self.assertEqual(held.total_tokens, 120, "a refusal leaves it as it was")
            self.assertEqual(self.client.capacity().reserved_blocks, 8)
            held.used_tokens = 100
        self.assertFalse(held.held)
        self.assertEqual(self.client.capacity().free_blocks, 10)
        self.client.release(held.id)  # twice is harmless

    def test_never_says_what_would_fit(self) -> None:
        never = self.client.can_admit(200, 0)
        assert isinstance(never, plimsoll.Refusal)
        self.assertEqual((never.decision, never.largest_fit_tokens), ("never", 160))
        self.assertEqual(str(never), "never: NEVER_FITS: at most 160 tokens fit")

    def test_a_wait_ends_when_room_comes_back(self) -> None:
        first = self.client.reserve(100, 60)
        threading.Timer(0.1, first.release).start()
        with self.client.reserve(100, 60, max_wait=20) as second:
            self.assertEqual(second.granted.blocks, 10)

    def test_the_same_request_gets_the_same_reservation(self) -> None:
        with self.client.reserve(10, 0, request_id="r") as held:
            self.assertEqual(self.client.reserve(10, 0, request_id="r").id, held.id)
            with self.assertRaisesRegex(plimsoll.InvalidArgument, "request_id"):
                self.client.reserve(11, 0, request_id="r")

    def test_bad_numbers_are_named(self) -> None:
        with self.assertRaisesRegex(plimsoll.InvalidArgument, "prompt_tokens=0: want 1 to"):
            self.client.reserve(0, 1)
        with self.assertRaisesRegex(plimsoll.InvalidArgument, "priority"):
            self.client.reserve(1, 1, priority=3)
        with self.assertRaisesRegex(plimsoll.InvalidArgument, "server"):
            plimsoll.Client("nowhere")
        with self.assertRaises(plimsoll.NotFound):
            self.client.release(self.client.capacity().epoch + "-999")
        with self.assertRaisesRegex(plimsoll.FailedPrecondition, "STALE_EPOCH"):
            self.client.release("another-1")

    def test_says_who_the_server_is(self) -> None:
        info = self.client.server_info()
        self.assertEqual((info["mode"], info["device"]), ("ledger", "none"))
        self.assertEqual(info["epoch"], self.client.capacity().epoch)

    def test_a_session_holds_without_renewals(self) -> None:
        with plimsoll.Client(self.server.address, session=True) as client:
            with client.reserve(60, 40, ttl=1) as held:
                held.extend(120)
                time.sleep(1.1)
                self.assertTrue(held.held)
                self.assertEqual(self.client.capacity().reserved_blocks, 8)
            self.assertEqual(self.client.capacity().free_blocks, 10)

    def test_all_are_reserved_or_none(self) -> None:
        rooms = self.client.reserve_all(
            [plimsoll.Request(16, 0), plimsoll.Request(30, 2, tenant="a", prefix_hashes=[1])]
        )
        self.assertEqual([room.granted.blocks for room in rooms], [1, 2])
        self.assertTrue(all(room.held for room in rooms))
        with self.assertRaisesRegex(plimsoll.Refused, r"^requests\[1\]: wait: NO_FREE") as refused:
            self.client.reserve_all([plimsoll.Request(16, 0), plimsoll.Request(112, 0)])
        self.assertEqual(refused.exception.index, 1)
        self.assertEqual(refused.exception.refusal.missing_blocks, 1)
        self.assertEqual(self.client.capacity().reserved_blocks, 3)
        with self.assertRaisesRegex(plimsoll.InvalidArgument, r"^requests\[1\]: prompt_tokens=0"):
            self.client.reserve_all([plimsoll.Request(16, 0), plimsoll.Request(0, 0)])
        with self.assertRaisesRegex(plimsoll.InvalidArgument, "^count=0: want 1 to 256$"):
            self.client.reserve_all([])
        self.assertEqual(self.client.batch([plimsoll.Release(room) for room in rooms]), [None] * 2)
        self.assertEqual(self.client.capacity().free_blocks, 10)

    def test_a_batch_says_what_became_of_each(self) -> None:
        first, second = self.client.reserve(32, 0), self.client.reserve(16, 0)
        released = self.client.capacity().released
        second.used_tokens = 10
        outcomes = self.client.batch(
            [
                plimsoll.Extend(first, 64),
                plimsoll.Release(second),
                plimsoll.Request(96, 0),
                plimsoll.Request(16, 0),
                plimsoll.Extend(second, 32),
            ]
        )
        self.assertIs(outcomes[0], first)
        self.assertEqual((first.total_tokens, first.granted.blocks), (64, 4))
        self.assertIsNone(outcomes[1])
        third = outcomes[2]
        assert isinstance(third, plimsoll.Reservation)
        self.assertEqual(third.granted.blocks, 6)
        assert isinstance(outcomes[3], plimsoll.Refusal)
        self.assertEqual(outcomes[3].reason, "NO_FREE_BLOCKS")
        self.assertIsInstance(outcomes[4], plimsoll.NotFound)
        third.release()
        first.release()
        capacity = self.client.capacity()
        self.assertEqual((capacity.free_blocks, capacity.released - released), (10, 3))

    def test_a_closed_client_says_so(self) -> None:
        client = plimsoll.Client(self.server.address)
        client.close()
        client.close()
        with self.assertRaisesRegex(plimsoll.InvalidArgument, "client: null, closed"):
            client.capacity()


class SecurityTest(unittest.TestCase):
    """A server with TLS and tokens, whose certificate is its own authority."""

    server: ServerProcess

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = tempfile.TemporaryDirectory()
        cls.ca, key = (os.path.join(cls.folder.name, name) for name in ("ca.pem", "key.pem"))
        for certificate, its_key in ((cls.ca, key), (cls.ca + ".other", key + ".other")):
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test",
                 "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", its_key],
                check=True, capture_output=True,
            )  # fmt: skip
        tokens = os.path.join(cls.folder.name, "tokens")
        with open(tokens, "w", encoding="ascii") as file:
            file.write("looker:read:a-secret-of-sixteen\nrouter:admission:a-router-of-sixteen\n")
        cls.server = ServerProcess(
            "--tls-certificate", cls.ca, "--tls-key", key, "--tokens", tokens
        )

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.kill()
        cls.folder.cleanup()

    def test_who_knows_the_server_and_has_a_token_is_served(self) -> None:
        with plimsoll.Client(
            self.server.address, ca=self.ca, token="a-router-of-sixteen"
        ) as client:
            with client.reserve(10, 0) as held:
                self.assertTrue(held.held)

    def test_who_has_the_wrong_ones_is_told_so(self) -> None:
        def capacity(**options: Any) -> plimsoll.Capacity:
            with plimsoll.Client(self.server.address, retry=0, **options) as client:
                return client.capacity()

        with self.assertRaisesRegex(plimsoll.Unauthenticated, "^this token is not known$"):
            capacity(ca=self.ca, token="a-guess-of-sixteen")
        with self.assertRaisesRegex(plimsoll.Unavailable, "^no server at [^\n]+$"):
            capacity(ca=self.ca + ".other", token="a-router-of-sixteen")
        with self.assertRaises(plimsoll.Unavailable):
            capacity(token="a-router-of-sixteen")  # plaintext
        with self.assertRaisesRegex(plimsoll.InvalidArgument, "/nonexistent: is empty"):
            capacity(ca="/nonexistent")
        with plimsoll.Client(
            self.server.address, ca=self.ca, token="a-secret-of-sixteen"
        ) as looker:
            with self.assertRaises(plimsoll.PermissionDenied):
                looker.reserve(10, 0)


class OutageTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.address = "unix:" + os.path.join(folder.name, "socket")

    def test_without_a_server_nothing_is_granted(self) -> None:
        with plimsoll.Client(self.address, retry=0) as client:
            with self.assertRaisesRegex(plimsoll.Unavailable, "no server at unix:"):
                client.reserve(10, 0)

    def test_the_safe_capacity_is_granted_and_no_more(self) -> None:
        with plimsoll.Client(self.address, retry=0, safe_requests=2, safe_blocks=8) as client:
            held = client.reserve(100, 12)
            self.assertTrue(held.local)
            self.assertEqual(held.granted.blocks, 7)
            with self.assertRaisesRegex(plimsoll.Unavailable, "7 of 8 blocks are in use"):
                client.reserve(17, 0)
            held.extend(128)
            held.release()
            self.assertFalse(held.held)
            client.reserve(100, 12)

    def test_a_server_that_was_killed_is_found_again(self) -> None:
        server = ServerProcess(listen=self.address)
        client = plimsoll.Client(self.address, retry=20)
        held = client.reserve(10, 0, ttl=1)
        server.kill()
        started: list[ServerProcess] = []
        starter = threading.Timer(
            0.3, lambda: started.append(ServerProcess("--no-learning", listen=self.address))
        )
        starter.start()
        self.addCleanup(lambda: [its.kill() for its in started])
        second = client.reserve(10, 0, max_wait=10)
        starter.join()
        self.assertNotEqual(second.id, held.id)
        self.assertTrue(eventually(lambda: not held.held), "it died with the server")
        client.close()

    def test_who_lost_what_is_told(self) -> None:
        for session in (False, True):
            with self.subTest(session=session):
                server = ServerProcess(listen=self.address)
                lost: dict[str, plimsoll.PlimsollError] = {}
                told = threading.Event()

                def hear(reservation_id: str, why: plimsoll.PlimsollError) -> None:
                    lost[reservation_id] = why
                    if len(lost) == 2:
                        told.set()

                client = plimsoll.Client(self.address, retry=20, session=session, on_lost=hear)
                held = client.reserve_all([plimsoll.Request(16, 0)] * 2)
                server.kill()
                server = ServerProcess("--no-learning", listen=self.address)
                # Where leases are renewed, it is a grant of the new life that says so at once.
                with client.reserve(16, 0, max_wait=10) as other:
                    self.assertTrue(told.wait(20))
                    self.assertTrue(other.held)
                self.assertEqual(set(lost), {room.id for room in held})
                for name, why in lost.items():
                    self.assertIsInstance(why, plimsoll.FailedPrecondition)
                    self.assertRegex(str(why), f"^STALE_EPOCH: {name}")
                self.assertFalse(any(room.held for room in held))
                client.close()
                server.kill()

    def test_a_ledger_that_is_started_again_is_told_what_is_held(self) -> None:
        server = ServerProcess(listen=self.address)
        with plimsoll.Client(self.address, retry=20) as client:
            held, other = client.reserve(16, 0), client.reserve(32, 0)
            name = held.id
            server.kill()
            server = ServerProcess("--learning", listen=self.address)
            self.addCleanup(server.kill)
            held.extend(16)
            self.assertEqual((held.id, held.granted.blocks), (name, 1))
            self.assertTrue(eventually(lambda: client.capacity().reserved_blocks == 3))
            with self.assertRaises(plimsoll.Refused) as refused:
                client.reserve(16, 0)
            self.assertEqual(refused.exception.refusal.reason, "LEARNING")
            with self.assertRaises(plimsoll.Refused) as refused:
                held.extend(48)  # what looks free may be another's
            self.assertEqual(refused.exception.refusal.reason, "LEARNING")
            self.assertTrue(other.held)
            held.release()
            other.release()
            self.assertEqual(client.capacity().free_blocks, 10)


if __name__ == "__main__":
    unittest.main()
