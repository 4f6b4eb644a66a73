package manual

import "strings"

// lineWidth is how long lines of a usage are at most.
const lineWidth = 79

// textColumn is where the texts of flags begin.
const textColumn = 23

// Usage returns the text of --help.
func (c *Command) Usage() string {
	var b strings.Builder
	for i, s := range c.Synopses {
		head := "Usage: "
		if i > 0 {
			head = "       "
		}
		b.WriteString(head + "kvmsandbox " + s + "\n")
	}
	for _, p := range c.Text {
		b.WriteString("\n" + wrap(p, "", ""))
	}
	b.WriteByte('\n')
	for i := range c.Flags {
		f := &c.Flags[i]
		head := "  " + f.Dashed() + f.valueText(" ")
		if len(head) < textColumn-1 {
			head += strings.Repeat(" ", textColumn-len(head))
		} else {
			b.WriteString(head + "\n")
			head = strings.Repeat(" ", textColumn)
		}
		b.WriteString(wrap(f.described(), head, strings.Repeat(" ", textColumn)))
	}
	if len(c.Variables) > 0 {
		var all []string
		for _, v := range c.Variables {
			all = append(all, v.Name+" "+v.Text)
		}
		b.WriteString("\n" + wrap("Environment: "+strings.Join(all, "; ")+".", "", ""))
	}
	if c.Statuses != "" {
		b.WriteString("\n" + wrap("Exit status: "+c.Statuses, "", ""))
	}
	return b.String()
}

// valueText returns the value as it is shown behind the flag's name; space stands between.
func (f *Flag) valueText(space string) string {
	switch {
	case f.Value == "":
		return ""
	case f.Optional:
		return "[=" + f.Value + "]"
	}
	return space + f.Value
}

// described is the text with the default.
func (f *Flag) described() string {
	if f.Default == "" {
		return f.Text
	}
	return f.Text + " (" + f.Default + ")"
}

// wrap breaks text into lines. The first one begins with head, the others with indent.
func wrap(text, head, indent string) string {
	var b strings.Builder
	line, empty := head, true
	for _, word := range strings.Fields(text) {
		if !empty && len(line)+1+len(word) > lineWidth {
			b.WriteString(line + "\n")
			line, empty = indent, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	b.WriteString(line + "\n")
	return b.String()
}
