package fakefe

import "math/rand/v2"

// Random returns a chooser that picks among all options alike.
func Random(seed uint64) Chooser {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(options []Option) int { return r.IntN(len(options)) }
}

// Priorities returns a chooser that lets the variant with the highest priority
// run as long as it can, and changes priorities at random about every span
// stops. It finds interleavings that need one variant to be far ahead of the
// others, which Random hardly ever does.
func Priorities(seed uint64, span int) Chooser {
	r := rand.New(rand.NewPCG(seed, 2))
	rank := map[int]int{}
	return func(options []Option) int {
		if r.IntN(max(span, 1)) == 0 {
			clear(rank)
		}
		best, at := -1, 0
		for i, o := range options {
			p, ok := rank[o.Task.Variant]
			if !ok {
				p = r.IntN(1 << 30)
				rank[o.Task.Variant] = p
			}
			if p > best {
				best, at = p, i
			}
		}
		// Tasks of one variant take turns.
		n := 0
		for _, o := range options {
			if o.Task.Variant == options[at].Task.Variant {
				n++
			}
		}
		skip := r.IntN(n)
		for i, o := range options {
			if o.Task.Variant != options[at].Task.Variant {
				continue
			}
			if skip == 0 {
				return i
			}
			skip--
		}
		return at
	}
}
