"""The example of a router, as a process, between a real server and a small engine over HTTP."""

import asyncio
import json
import os
import pathlib
import socket
import subprocess
import sys
import unittest

try:
    import aiohttp
    from aiohttp import web
except ImportError:
    sys.exit(77)  # the example needs it; tools/setup --ci installs it

import plimsoll
from server_process import ServerProcess

ROUTER = pathlib.Path(os.environ["PLIMSOLL_SOURCE_DIR"]) / "tools/python/examples/router.py"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Engine:
    """Streams as many tokens as it is asked for, as vLLM does; stops in the middle to be looked at."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.half_way = asyncio.Event()

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        for token in range(body["max_tokens"]):
            if token == body["max_tokens"] // 2:
                self.half_way.set()
                await self.go_on.wait()
            event = json.dumps({"choices": [{"token_ids": [token]}]})
            await reply.write(f"data: {event}\n\n".encode())
        await reply.write(b"data: [DONE]\n\n")
        return reply

    async def start(self) -> str:
        app = web.Application()
        app.router.add_post("/v1/completions", self.complete)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        return "http://127.0.0.1:%d" % self.runner.addresses[0][1]


class RouterTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.server = ServerProcess(blocks=30)
        self.addCleanup(self.server.kill)
        self.engine = Engine()
        backend = await self.engine.start()
        self.addAsyncCleanup(self.engine.runner.cleanup)
        self.addCleanup(self.engine.go_on.set)  # an engine that stands still does not end
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/v1/completions"
        router = subprocess.Popen(
            [sys.executable, str(ROUTER), self.server.address, backend, str(port)],
            stdout=subprocess.DEVNULL,
        )
        self.addCleanup(lambda: (router.kill(), router.wait()))
        self.client = plimsoll.AsyncClient(self.server.address)
        self.addAsyncCleanup(self.client.close)
        for _ in range(1000):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            except OSError:
                await asyncio.sleep(0.02)
        self.fail("the router does not listen")

    async def ask(self, prompt: int, most: int) -> tuple[int, str]:
        body = {"prompt": [1] * prompt, "max_tokens": most}
        async with aiohttp.request("POST", self.url, json=body) as reply:
            return reply.status, await reply.text()

    async def test_reserves_sends_extends_and_releases(self) -> None:
        answer = asyncio.create_task(self.ask(100, 200))
        await self.engine.half_way.wait()
        # 100 of the prompt and 64 are 11 blocks; with 100 generated it has had to extend: 100 +
        # 128 are 15 blocks.
        for _ in range(500):
            capacity = await self.client.capacity()
            if capacity.reserved_blocks == 15:
                break
            await asyncio.sleep(0.01)
        self.assertEqual(capacity.reserved_blocks, 15)
        self.engine.go_on.set()
        status, text = await answer
        self.assertEqual(status, 200)
        self.assertEqual(text.count("token_ids"), 200)
        capacity = await self.client.capacity()
        self.assertEqual((capacity.free_blocks, capacity.released), (30, 1))

    async def test_what_never_fits_is_not_sent(self) -> None:
        status, text = await self.ask(1000, 10)
        self.assertEqual(status, 429)
        self.assertIn("NEVER_FITS", text)
        self.assertFalse(self.engine.half_way.is_set())

    async def test_a_caller_that_leaves_gives_its_room_back(self) -> None:
        answer = asyncio.create_task(self.ask(100, 200))
        await self.engine.half_way.wait()
        answer.cancel()
        self.engine.go_on.set()
        for _ in range(1000):
            if (await self.client.capacity()).free_blocks == 30:
                return
            await asyncio.sleep(0.01)
        self.fail("its room did not come back")


if __name__ == "__main__":
    unittest.main()
