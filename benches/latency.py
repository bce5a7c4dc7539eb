#!/usr/bin/env python3
"""A link to a server on this machine that takes its time: what goes in comes out later.

    benches/latency.py PORT UPSTREAM_PORT MILLISECONDS [COUNTS]

listens on PORT of 127.0.0.1 and passes everything on to UPSTREAM_PORT, each direction later by half of MILLISECONDS, as
much at a time as the server takes. Beginning a connection takes MILLISECONDS, too. The file COUNTS says how many
requests and bytes went through so far, as JSON: it is written anew when something has ended.
"""

import asyncio
import json
import os
import sys

PIECE = 1 << 18

counts = {"requests": 0, "sent": 0, "received": 0}


def count(data, way):
    counts[way] += len(data)
    if way == "sent":
        # Each request has one such line; one that is cut between two pieces is not counted.
        counts["requests"] += data.count(b" HTTP/1.1\r\n")


def write_counts():
    if len(sys.argv) > 4:
        with open(sys.argv[4] + ".new", "w") as file:
            json.dump(counts, file)
        os.replace(sys.argv[4] + ".new", sys.argv[4])


async def pour(reader, writer, delay, way):
    """Passes on what `reader` gives, each piece `delay` seconds after it came."""
    loop = asyncio.get_running_loop()
    # Enough for what is under way at once: 64 MiB.
    queue = asyncio.Queue(maxsize=256)

    async def take():
        while data := await reader.read(PIECE):
            count(data, way)
            await queue.put((loop.time() + delay, data))
        await queue.put((loop.time() + delay, b""))

    taking = asyncio.create_task(take())
    try:
        while True:
            due, data = await queue.get()
            wait = due - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        taking.cancel()


async def serve(reader, writer, upstream, delay):
    await asyncio.sleep(2 * delay)
    try:
        there, here = await asyncio.open_connection("127.0.0.1", upstream)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pour(reader, here, delay, "sent"), pour(there, writer, delay, "received"), return_exceptions=True)
    for end in (here, writer):
        end.close()
    write_counts()


async def main():
    port, upstream, milliseconds = (int(word) for word in sys.argv[1:4])
    delay = milliseconds / 2000
    server = await asyncio.start_server(lambda r, w: serve(r, w, upstream, delay), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


asyncio.run(main())
