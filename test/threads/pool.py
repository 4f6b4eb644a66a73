"""Threads that compute under the interpreter's lock, wait, and hand over; processes."""
import concurrent.futures
import queue
import threading


def work(n):
    total = 0
    for i in range(n):
        total += i * i % 7
    return total


with concurrent.futures.ThreadPoolExecutor(3) as pool:
    print("computed", list(pool.map(work, [300000, 200000, 400000, 100000])))

seen, lock = [], threading.Lock()


def note(who):
    for _ in range(500):
        with lock:
            seen.append(who)


threads = [threading.Thread(target=note, args=(who,)) for who in range(3)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print("noted", len(seen), sum(seen))

numbers, results = queue.Queue(4), queue.Queue()


def square():
    while (n := numbers.get()) is not None:
        results.put(n * n)


threads = [threading.Thread(target=square) for _ in range(2)]
for t in threads:
    t.start()
for n in range(100):
    numbers.put(n)
for t in threads:
    numbers.put(None)
for t in threads:
    t.join()
print("squared", sum(results.get() for _ in range(100)))

timer = threading.Timer(0.02, print, ["timer"])
timer.start()
timer.join()
