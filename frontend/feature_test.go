package frontend_test

import (
	"testing"

	"github.com/multivar/multivar/frontend"
)

func TestFeatures(t *testing.T) {
	required := func(s frontend.FeatureState) frontend.Feature {
		return frontend.Feature{Name: "r-" + string(s), Required: true, State: s}
	}
	wanted := func(s frontend.FeatureState) frontend.Feature {
		return frontend.Feature{Name: "w-" + string(s), State: s}
	}
	const ok, missing, untested = frontend.FeaturePresent, frontend.FeatureMissing, frontend.FeatureUntested
	for _, c := range []struct {
		fs               frontend.Features
		usable, complete bool
		obstacle         string
	}{
		{nil, true, true, ""},
		{frontend.Features{required(ok), wanted(ok)}, true, true, ""},
		{frontend.Features{wanted(missing), required(ok)}, true, false, ""},
		{frontend.Features{wanted(untested)}, true, false, ""},
		{frontend.Features{required(ok), required(missing), required(untested)}, false, false, "r-missing"},
		{frontend.Features{wanted(missing), required(untested)}, false, false, "r-untested"},
		{frontend.Features{{Required: true}}, false, false, ""},
	} {
		f, missing := c.fs.Obstacle()
		if c.fs.Usable() != c.usable || c.fs.Complete() != c.complete || missing == c.usable || f.Name != c.obstacle {
			t.Errorf("%v: usable %t, complete %t, obstacle %q", c.fs, c.fs.Usable(), c.fs.Complete(), f.Name)
		}
	}
}
