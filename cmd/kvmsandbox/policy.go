package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/multivar/multivar/internal/manual"
	"github.com/multivar/multivar/libmultivar/policy"
)

// policyName is the sub-command when it is the very first argument.
const policyName = "policy"

// policyUsage is the text of policy --help.
func policyUsage() string {
	command := manual.Policy()
	return command.Usage()
}

// policy is the sub-command.
func (c *command) policy(args []string) status {
	switch {
	case len(args) == 1 && (args[0] == "--help" || args[0] == "-h"):
		return c.print(policyUsage())
	case len(args) == 1 && args[0] == "list":
		var b strings.Builder
		for _, name := range policy.Names() {
			fmt.Fprintf(&b, "%-14s %s\n", name, policy.Summary(name))
		}
		return c.print(b.String())
	case len(args) == 2 && args[0] == "show":
		p, err := loadPolicy(args[1])
		if err != nil {
			return c.fail(statusFailed, fmt.Errorf("policy show: %w", err))
		}
		return c.print(string(p.Format()))
	}
	return c.fail(statusFailed, errors.New("policy: want list or show NAME|FILE.toml; kvmsandbox policy --help tells more"))
}

// loadPolicy returns the policy with this name, or that of the file when the name is one
// of a file: it has a slash, or ends in .toml.
func loadPolicy(name string) (policy.Policy, error) {
	if !strings.HasSuffix(name, ".toml") && !strings.Contains(name, "/") {
		p, err := policy.ByName(name)
		if err != nil {
			return p, fmt.Errorf("%w, and FILE.toml", err)
		}
		return p, nil
	}
	data, err := readConfig(name)
	if err != nil {
		return policy.Policy{}, err
	}
	p, err := policy.Parse(name, data)
	if err != nil {
		return p, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}
