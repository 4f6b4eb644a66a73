/* Loops that OpenMP spreads over threads, which wait for one another by computing. */
#include <omp.h>
#include <stdio.h>

int main(void)
{
	long sum = 0;
	int order[20], at = 0;
	omp_set_num_threads(4);
#pragma omp parallel for reduction(+ : sum)
	for (long i = 0; i < 4000000; i++)
		sum += i % 1000;
	printf("sum %ld\n", sum);
#pragma omp parallel for ordered schedule(dynamic, 1)
	for (int i = 0; i < 20; i++) {
#pragma omp ordered
		order[at++] = i;
	}
	for (int i = 0; i < 20; i++)
		printf("%d ", order[i]);
	int inside = 0;
#pragma omp parallel
	{
#pragma omp barrier
#pragma omp critical
		inside++;
#pragma omp barrier
#pragma omp single
		printf("\n%d threads\n", inside);
	}
	return 0;
}
