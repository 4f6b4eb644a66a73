//go:build linux && amd64

package kvmsandbox

// WithProcessors makes virtual machines of at most n virtual processors.
func WithProcessors(n int) Option { return func(f *FrontEnd) { f.vcpus = n } }
