"""The client for asyncio, against real servers."""

from __future__ import annotations

import asyncio
import ctypes
import os
import tempfile
import threading
import unittest
from collections.abc import Sequence
from unittest import mock

import plimsoll
from plimsoll._library import CAnswer
from plimsoll.answers import Granted, Refusal
from plimsoll.async_client import _hear, _Waiting, _waiting
from plimsoll.operations import Operation, Told
from server_process import ServerProcess


class AsyncClientTest(unittest.IsolatedAsyncioTestCase):
    server: ServerProcess

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = ServerProcess(blocks=100)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.kill()

    async def asyncSetUp(self) -> None:
        self.client = plimsoll.AsyncClient(self.server.address)
        self.addAsyncCleanup(self.client.close)
        self.admitted = (await self.client.capacity()).admitted

    async def all_free(self) -> bool:
        for _ in range(1000):
            capacity = await self.client.capacity()
            if capacity.free_blocks == 100 and capacity.waiting == 0:
                return True
            await asyncio.sleep(0.01)
        return False

    async def test_a_block_of_code_holds_room(self) -> None:
        async with self.client.reserve(60, 40) as room:
            self.assertEqual(room.granted.blocks, 7)
            await room.extend(120)
            self.assertEqual((await self.client.capacity()).reserved_blocks, 8)
            self.assertTrue(room.held)
        self.assertTrue(await self.all_free())

    async def test_an_error_in_the_block_gives_it_back_too(self) -> None:
        with self.assertRaises(ZeroDivisionError):
            async with self.client.reserve(60, 40):
                raise ZeroDivisionError
        self.assertTrue(await self.all_free())

    async def test_many_at_once_take_turns(self) -> None:
        async def one(tenant: int) -> None:
            async with self.client.reserve(300, 20, max_wait=60, tenant=f"t{tenant % 3}"):
                await asyncio.sleep(0.005)

        await asyncio.gather(*(one(i) for i in range(100)))
        self.assertTrue(await self.all_free())

    async def test_many_in_one_call(self) -> None:
        rooms = await self.client.reserve_all([plimsoll.Request(60, 40)] * 3)
        self.assertEqual([room.granted.blocks for room in rooms], [7, 7, 7])
        with self.assertRaises(plimsoll.Refused) as refused:
            await self.client.reserve_all([plimsoll.Request(60, 40), plimsoll.Request(5000, 0)])
        self.assertEqual(refused.exception.index, 1)
        extended, released, another = await self.client.batch(
            [plimsoll.Extend(rooms[0], 120), plimsoll.Release(rooms[1]), plimsoll.Request(16, 0)]
        )
        self.assertIs(extended, rooms[0])
        self.assertEqual(rooms[0].granted.blocks, 8)
        self.assertIsNone(released)
        assert isinstance(another, plimsoll.AsyncReservation)
        await asyncio.gather(*(room.release() for room in (rooms[0], rooms[2], another)))
        self.assertTrue(await self.all_free())

    async def test_a_batch_that_is_cancelled_leaves_nothing_behind(self) -> None:
        held = await self.client.reserve(16, 0)
        answered = threading.Event()
        batch = self.client._connection.batch

        def late(operations: Sequence[Operation]) -> list[Told]:
            told = batch(operations)
            answered.wait(10)
            return told

        with mock.patch.object(self.client._connection, "batch", late):
            task = asyncio.create_task(
                self.client.batch([plimsoll.Request(160, 0), plimsoll.Extend(held, 32)])
            )
            while (await self.client.capacity()).reserved_blocks != 12:
                await asyncio.sleep(0.01)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            answered.set()
        while (await self.client.capacity()).reserved_blocks != 2:
            await asyncio.sleep(0.01)
        self.assertTrue(held.held, "it was not reserved by the batch")
        await held.release()
        self.assertTrue(await self.all_free())

    async def test_losses_are_heard_in_the_loop(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            address = "unix:" + os.path.join(folder, "socket")
            server = ServerProcess(listen=address)
            lost: asyncio.Future[tuple[str, plimsoll.PlimsollError]]
            lost = asyncio.get_running_loop().create_future()
            async with plimsoll.AsyncClient(
                address, session=True, on_lost=lambda *loss: lost.set_result(loss)
            ) as client:
                held = await client.reserve(16, 0)
                server.kill()
                server = ServerProcess("--no-learning", listen=address)
                self.addCleanup(server.kill)
                name, why = await asyncio.wait_for(lost, 20)
                self.assertEqual(name, held.id)
                self.assertIsInstance(why, plimsoll.FailedPrecondition)

    async def test_refusals_and_errors_are_raised(self) -> None:
        with self.assertRaises(plimsoll.Refused) as refused:
            await self.client.reserve(5000, 0)
        self.assertEqual(refused.exception.refusal.reason, "NEVER_FITS")
        with self.assertRaisesRegex(plimsoll.InvalidArgument, "prompt_tokens=0"):
            await self.client.reserve(0, 1)

    async def test_a_task_that_is_cancelled_leaves_nothing_behind(self) -> None:
        held = await self.client.reserve(1600, 0)
        waiting = asyncio.create_task(self.client.reserve(16, 0, max_wait=60).__aenter__())
        while (await self.client.capacity()).waiting == 0:
            await asyncio.sleep(0.01)
        waiting.cancel()
        await held.release()
        self.assertTrue(await self.all_free(), "what it was granted afterwards went back")

    async def test_a_grant_in_the_turn_of_the_cancellation_goes_back(self) -> None:
        settle = _Waiting._settle

        def settle_and_cancel(waiting: _Waiting, outcome: Granted | Refusal | Exception) -> None:
            settle(waiting, outcome)
            task.cancel()

        with mock.patch.object(_Waiting, "_settle", settle_and_cancel):
            task = asyncio.create_task(self.client.reserve(16, 0).__aenter__())
            with self.assertRaises(asyncio.CancelledError):
                await task
        self.assertEqual((await self.client.capacity()).admitted, self.admitted + 1)
        self.assertTrue(await self.all_free())

    async def test_an_answer_that_makes_no_sense_is_an_error_for_who_waits(self) -> None:
        def hear(code: int, answer: object, line: bytes) -> asyncio.Future[Granted | Refusal]:
            _waiting[0] = _Waiting(self.client)
            future = _waiting[0].future
            _hear(0, code, answer, line)
            return future

        with self.assertRaisesRegex(plimsoll.Unavailable, "caf\ufffd"):
            await hear(14, None, b"caf\xe9")
        with self.assertRaises(IndexError):
            await hear(0, ctypes.pointer(CAnswer(decision=1, reason=99)), b"")

    async def test_who_is_told_to_wait_may_ask_again_when_the_server_said(self) -> None:
        held = await self.client.reserve(1600, 0, ttl=1)
        with self.assertRaises(plimsoll.Refused) as refused:
            await self.client.reserve(16, 0)
        asyncio.get_running_loop().call_later(0.2, asyncio.ensure_future, held.release())
        start = asyncio.get_running_loop().time()
        async with plimsoll.AsyncClient(
            self.server.address, retry=30, retry_waits=True
        ) as patient:
            async with patient.reserve(16, 0):
                self.assertGreaterEqual(
                    asyncio.get_running_loop().time() - start,
                    min(0.2, refused.exception.refusal.retry_after),
                )
            with self.assertRaises(plimsoll.Refused):
                await patient.reserve(5000, 0)

    async def test_without_a_server_a_block_ends_as_it_would(self) -> None:
        server = ServerProcess(blocks=10)
        async with plimsoll.AsyncClient(server.address, retry=0) as client:
            with self.assertRaises(ZeroDivisionError):
                async with client.reserve(16, 0):
                    server.kill()
                    raise ZeroDivisionError

    async def test_without_a_server_nothing_is_granted(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            address = "unix:" + os.path.join(folder, "socket")
            async with plimsoll.AsyncClient(address, retry=0.2) as client:
                with self.assertRaisesRegex(plimsoll.Unavailable, "no server at unix:"):
                    await client.reserve(10, 0)
            async with plimsoll.AsyncClient(
                address, retry=0, safe_requests=1, safe_blocks=9
            ) as client:
                async with client.reserve(10, 0) as room:
                    self.assertTrue(room.local)

    async def test_closing_answers_who_waits(self) -> None:
        client = plimsoll.AsyncClient(self.server.address, retry=0)
        held = await self.client.reserve(1600, 0)
        waiting = asyncio.create_task(client.reserve(16, 0, max_wait=60).__aenter__())
        while (await self.client.capacity()).waiting == 0:
            await asyncio.sleep(0.01)
        await client.close()
        with self.assertRaises(plimsoll.PlimsollError):
            await waiting
        await held.release()


if __name__ == "__main__":
    unittest.main()
