"""An event loop: tasks, processes with pipes, signals, a thread pool, a socket, and time."""
import asyncio
import os
import signal


async def child(n):
    p = await asyncio.create_subprocess_exec("sort", "-n", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    out, _ = await p.communicate("".join(f"{i * 7919 % 101}\n" for i in range(n)).encode())
    return p.returncode, len(out), out.split()[-1].decode()


async def shell(status):
    p = await asyncio.create_subprocess_shell(f"exit {status}")
    return await p.wait()


async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def talk(port, who):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = []
    for i in range(5):
        writer.write(f"client {who} says {i}\n".encode())
        got.append((await reader.readline()).decode().strip())
    writer.close()
    await writer.wait_closed()
    return got[-1], len(got)


async def main():
    loop = asyncio.get_running_loop()
    print("children", await asyncio.gather(*(child(n) for n in (10, 50, 100))))
    print("statuses", await asyncio.gather(*(shell(n) for n in range(4))))

    came = asyncio.Queue()
    for s in (signal.SIGUSR1, signal.SIGUSR2):
        loop.add_signal_handler(s, came.put_nowait, s.name)
    os.kill(os.getpid(), signal.SIGUSR1)
    print("signal", await came.get())
    p = await asyncio.create_subprocess_exec("sh", "-c", f"kill -USR2 {os.getpid()}; exit 3")
    print("signal", await came.get(), await p.wait())

    sleeper = await asyncio.create_subprocess_exec("sleep", "1000")
    sleeper.terminate()
    print("terminated", await sleeper.wait())

    print("computed", await asyncio.gather(*(loop.run_in_executor(None, sum, range(n)) for n in (1000, 2000, 3000))))

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print("said", await asyncio.gather(*(talk(port, who) for who in "abc")))
    server.close()

    try:
        await asyncio.wait_for(asyncio.sleep(1000), 0.02)
    except asyncio.TimeoutError:
        print("timed out")


asyncio.run(main())
