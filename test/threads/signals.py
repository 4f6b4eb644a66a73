"""Signals of an interpreter: timers, handlers that raise, threads that are sent some, waits."""
import faulthandler
import os
import signal
import subprocess
import threading
import time

came = 0


def count(number, frame):
    global came
    came += 1


signal.signal(signal.SIGALRM, count)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
while came < 5:
    signal.pause()
signal.setitimer(signal.ITIMER_REAL, 0)
print("paused")

came = 0
signal.signal(signal.SIGVTALRM, count)
signal.setitimer(signal.ITIMER_VIRTUAL, 0.01, 0.01)
# The interpreter takes two that come before it has looked for one: where they come is not the same
# instruction in all variants.
while came < 1:
    pass
signal.setitimer(signal.ITIMER_VIRTUAL, 0)
print("computed")


def late(number, frame):
    raise TimeoutError("late")


signal.signal(signal.SIGALRM, late)
for wait in (lambda: time.sleep(1000), lambda: os.read(os.pipe()[0], 1), lambda: threading.Event().wait()):
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        wait()
    except TimeoutError as e:
        print("raised", e)

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
main, taken = threading.get_ident(), threading.Semaphore(0)


def send():
    for _ in range(20):
        signal.pthread_kill(main, signal.SIGUSR1)
        taken.acquire()


sender = threading.Thread(target=send)
sender.start()
for _ in range(20):
    assert signal.sigwait({signal.SIGUSR1}) == signal.SIGUSR1
    taken.release()
sender.join()
print("waited", signal.sigtimedwait({signal.SIGUSR2}, 0.02))

faulthandler.dump_traceback_later(0.05, file=open(os.devnull, "w"))
time.sleep(0.2)
p = subprocess.Popen(["sleep", "1000"])
try:
    p.wait(timeout=0.1)
except subprocess.TimeoutExpired:
    p.kill()
    print("killed", p.wait())
print("ended", subprocess.run(["sh", "-c", "kill -SEGV $$"]).returncode)

try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1000)
except KeyboardInterrupt:
    print("interrupted")
