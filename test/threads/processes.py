"""Processes of multiprocessing: a pool, and a value, a lock and queues that they share."""
import multiprocessing


def work(n):
    total = 0
    for i in range(n):
        total += i * i % 7
    return total


def add(value, lock, rounds):
    for _ in range(rounds):
        with lock:
            value.value += 1


def square(numbers, results):
    while (n := numbers.get()) is not None:
        results.put((n, n * n))


def added(start, value, lock, processes, rounds):
    adders = [start(target=add, args=(value, lock, rounds)) for _ in range(processes)]
    for p in adders:
        p.start()
    for p in adders:
        p.join()
    return value.value, [p.exitcode for p in adders]


def fail(n):
    raise ValueError(f"no {n}")


def main():
    with multiprocessing.Pool(2) as pool:
        print("computed", pool.map(work, [30000, 20000, 40000, 10000], chunksize=1))
        print("one at a time", sorted(pool.imap_unordered(work, range(100, 110))))
        try:
            pool.apply(fail, (7,))
        except ValueError as e:
            print("raised", e)
        pool.close()
        pool.join()

    print("added", *added(multiprocessing.Process, multiprocessing.Value("l", 0), multiprocessing.Lock(), 3, 50))

    numbers, results = multiprocessing.Queue(), multiprocessing.Queue()
    workers = [multiprocessing.Process(target=square, args=(numbers, results)) for _ in range(2)]
    for p in workers:
        p.start()
    for n in range(40):
        numbers.put(n)
    for p in workers:
        numbers.put(None)
    print("squared", sorted(results.get() for _ in range(40))[-1])
    for p in workers:
        p.join()
    print("ended", [p.exitcode for p in workers])

    # These get to know of the lock by the address at which their parent has it.
    fresh = multiprocessing.get_context("spawn")
    print("added afresh", *added(fresh.Process, fresh.Value("l", 0, lock=False), fresh.Lock(), 2, 20))


if __name__ == "__main__":
    main()
