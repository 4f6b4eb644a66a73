package vhost

import _ "embed"

//go:generate go run ../../internal/cmd/genvhost -dir src -o zz_vhost_amd64.elf

// image is the variant host's program, made by internal/cmd/genvhost from src.
//
//go:embed zz_vhost_amd64.elf
var image []byte

// ImageBytes returns the variant host's ELF file. It must not be changed.
func ImageBytes() []byte { return image }
