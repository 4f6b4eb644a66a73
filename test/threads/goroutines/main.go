// Goroutines computes in several goroutines at once, and hands values from one to the
// other: a program of Go's runtime, with its threads, signals and timers.
package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func main() {
	results := make([]int, 4)
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() { results[i] = fib(26 + i%3) })
	}
	group.Wait()
	fmt.Println("computed", results)

	numbers := make(chan int)
	go func() {
		defer close(numbers)
		for i := range 2000 {
			numbers <- i
		}
	}()
	sum := 0
	for n := range numbers {
		sum += n
	}
	fmt.Println("handed over", sum)

	var mutex sync.Mutex
	var counter atomic.Int64
	seen := make(map[int]int)
	for range 8 {
		group.Go(func() {
			for i := range 300 {
				mutex.Lock()
				seen[i%10]++
				mutex.Unlock()
				counter.Add(1)
			}
		})
	}
	group.Wait()
	fmt.Println("counted", counter.Load(), seen)

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	fmt.Println("timed out:", ctx.Err())
}
