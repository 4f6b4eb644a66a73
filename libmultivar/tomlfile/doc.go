// Package tomlfile decodes the TOML files that users write. It is strict: a key that
// means nothing is an error, and each error is one line that names the line of the file.
package tomlfile
