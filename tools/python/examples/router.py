"""A router: reserves room for a request before it sends it to the engine, and as it grows.

    router.py PLIMSOLL BACKEND PORT        router.py 127.0.0.1:8470 http://127.0.0.1:8000 8080
"""
import json
import sys

import aiohttp
import plimsoll
from aiohttp import web

SERVER, BACKEND, PORT = sys.argv[1:]
STEP = 64  # tokens that are reserved ahead


async def complete(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    prompt, most = len(body["prompt"]), body.get("max_tokens", 16)
    reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    try:
        async with client.reserve(prompt, min(most, STEP), max_wait=10) as room:
            async with aiohttp.request("POST", f"{BACKEND}/v1/completions", json=body) as engine:
                await reply.prepare(request)
                room.used_tokens = prompt
                async for line in engine.content:  # one event for each token
                    room.used_tokens += line.startswith(b"data: {")
                    if room.total_tokens - room.used_tokens < STEP // 4 and room.total_tokens < prompt + most:
                        await room.extend(min(room.total_tokens + STEP, prompt + most))
                    await reply.write(line)
    except plimsoll.Refused as no:
        why, later = json.dumps({"error": str(no)}), str(int(no.refusal.retry_after) + 1)
        if reply.prepared:  # no room to grow: what there is was sent
            await reply.write(b"data: " + why.encode() + b"\n\n")
        else:
            return web.Response(status=429, headers={"Retry-After": later}, text=why)
    return reply


client = plimsoll.AsyncClient(SERVER)
app = web.Application()
app.router.add_post("/v1/completions", complete)
web.run_app(app, host="127.0.0.1", port=int(PORT))
