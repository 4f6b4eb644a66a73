package calllog

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// MaxString is how many bytes of a string or buffer a line shows.
const MaxString = 32

// AppendQuoted appends s in double quotes as a C string literal: printable ASCII
// as it is, all else escaped. More than [MaxString] bytes are shortened and
// followed by "..."; so is s when more is true.
func AppendQuoted(dst, s []byte, more bool) []byte {
	if len(s) > MaxString {
		s, more = s[:MaxString], true
	}
	dst = append(dst, '"')
	for i, c := range s {
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		case '\v':
			dst = append(dst, `\v`...)
		case '\f':
			dst = append(dst, `\f`...)
		default:
			if c >= ' ' && c <= '~' {
				dst = append(dst, c)
				continue
			}
			dst = append(dst, '\\')
			// An octal escape ends at a character that is no octal digit; without
			// one it needs all three digits.
			if next := i + 1; next < len(s) && s[next] >= '0' && s[next] <= '7' {
				dst = append(dst, '0'+c>>6, '0'+c>>3&7, '0'+c&7)
			} else {
				dst = strconv.AppendUint(dst, uint64(c), 8)
			}
		}
	}
	dst = append(dst, '"')
	if more {
		dst = append(dst, "..."...)
	}
	return dst
}

// AppendPrintable appends s with everything escaped that is not a printable
// character: control characters, invalid UTF-8, and the invisible characters
// with which text can be made to look like other text. What it returns stays the
// same when it is given to AppendPrintable again.
func AppendPrintable(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n <= 1:
			dst = appendHexEscape(dst, 'x', uint64(s[i]), 2)
		case unicode.IsPrint(r):
			dst = append(dst, s[i:i+n]...)
		case r < 0x80:
			dst = appendHexEscape(dst, 'x', uint64(r), 2)
		case r < 0x10000:
			dst = appendHexEscape(dst, 'u', uint64(r), 4)
		default:
			dst = appendHexEscape(dst, 'U', uint64(r), 8)
		}
		i += max(n, 1)
	}
	return dst
}

// Printable returns s as [AppendPrintable] appends it.
func Printable(s string) string {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return string(AppendPrintable(nil, s))
		}
	}
	return s
}

func appendHexEscape(dst []byte, letter byte, v uint64, digits int) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '\\', letter)
	for i := digits - 1; i >= 0; i-- {
		dst = append(dst, hex[v>>(4*i)&0xf])
	}
	return dst
}
