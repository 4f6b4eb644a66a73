// A pool of threads: futures, exceptions that cross threads, atomics, thread_local, and
// tasks that compute while others wait.
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <iostream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

class Pool {
public:
	explicit Pool(int threads)
	{
		for (int i = 0; i < threads; i++)
			workers.emplace_back([this] { work(); });
	}
	~Pool()
	{
		{
			std::lock_guard<std::mutex> guard(lock);
			stopping = true;
		}
		changed.notify_all();
		for (auto &w : workers)
			w.join();
	}
	std::future<long> run(std::function<long()> f)
	{
		auto task = std::make_shared<std::packaged_task<long()>>(std::move(f));
		auto result = task->get_future();
		{
			std::lock_guard<std::mutex> guard(lock);
			tasks.push_back([task] { (*task)(); });
		}
		changed.notify_one();
		return result;
	}

private:
	void work()
	{
		for (;;) {
			std::function<void()> task;
			{
				std::unique_lock<std::mutex> guard(lock);
				changed.wait(guard, [this] { return stopping || !tasks.empty(); });
				if (tasks.empty())
					return;
				task = std::move(tasks.front());
				tasks.pop_front();
			}
			task();
		}
	}
	std::mutex lock;
	std::condition_variable changed;
	std::deque<std::function<void()>> tasks;
	std::vector<std::thread> workers;
	bool stopping = false;
};

int main()
{
	std::atomic<long> total{0};
	static thread_local long own = 1;
	long sum = 0;
	{
		Pool pool(4);
		std::vector<std::future<long>> results;
		for (int i = 0; i < 30; i++)
			results.push_back(pool.run([i, &total] {
				long s = 0;
				for (int k = 0; k < 400000; k++)
					s += k % (i + 1);
				own += s;
				total += s;
				if (i == 7)
					throw std::runtime_error("the seventh");
				return s;
			}));
		for (auto &r : results)
			try {
				sum += r.get();
			} catch (const std::exception &e) {
				std::cout << e.what() << std::endl;
			}
	}
	std::once_flag once;
	for (int i = 0; i < 3; i++)
		std::call_once(once, [] { std::cout << "once" << std::endl; });
	std::cout << sum << " " << total << " " << own << std::endl;
	return 0;
}
