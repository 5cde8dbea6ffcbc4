"""Stand-ins for Slack and a mail server on this machine: they print what arrives.

`python3 receivers.py` listens on 127.0.0.1:8088 (HTTP POST) and 127.0.0.1:8025 (SMTP), until Ctrl-C. They
understand no more of SMTP than taking in a mail needs.
"""

import asyncio
import json

HTTP_PORT, SMTP_PORT = 8088, 8025
TAKEN = {b"EHLO": b"250 here\r\n", b"HELO": b"250 here\r\n", b"QUIT": b"221 bye\r\n"}


async def take_post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.splitlines()
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    body = json.loads(await reader.readexactly(length) or b"{}")
    print(f"--- slack\n{body.get('text', body)}\n", flush=True)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    await writer.drain()
    writer.close()


async def take_mail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 a receiver for mail\r\n")
    while line := await reader.readline():
        word = line[:4].upper()
        if word == b"DATA":
            writer.write(b"354 go on\r\n")
            data = await reader.readuntil(b"\r\n.\r\n")
            print(f"--- mail\n{data[:-5].decode(errors='replace')}\n", flush=True)
        writer.write(TAKEN.get(word, b"250 ok\r\n"))
        await writer.drain()
        if word == b"QUIT":
            break
    writer.close()


async def main() -> None:
    http = await asyncio.start_server(take_post, "127.0.0.1", HTTP_PORT)
    smtp = await asyncio.start_server(take_mail, "127.0.0.1", SMTP_PORT)
    print(f"listening: http://127.0.0.1:{HTTP_PORT} and smtp://127.0.0.1:{SMTP_PORT}", flush=True)
    async with http, smtp:
        await asyncio.gather(http.serve_forever(), smtp.serve_forever())


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print("stopped")
