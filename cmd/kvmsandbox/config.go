package main

import (
	"fmt"
	"io"
	"os"

	"github.com/multivar/multivar/libmultivar/rule"
	"github.com/multivar/multivar/libmultivar/tomlfile"
)

// loadRules returns the rules of a file for a session of so many variants.
func loadRules(name string, variants int) (*rule.Set, error) {
	data, err := readConfig(name)
	if err != nil {
		return nil, err
	}
	rules, err := rule.Parse(data)
	if err == nil {
		err = rules.Check(variants)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return rules, nil
}

// readConfig reads a TOML file, and no more of it than makes it too large.
func readConfig(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, tomlfile.MaxSize+1))
	if err != nil {
		return nil, err
	}
	return data, nil
}
