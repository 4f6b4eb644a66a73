package frontend

// FeatureState says whether a feature is there.
type FeatureState string

// The states of a feature.
const (
	FeaturePresent FeatureState = "ok"
	FeatureMissing FeatureState = "missing"
	// FeatureUntested: without an earlier feature it cannot be tried.
	FeatureUntested FeatureState = "untested"
)

// Feature is one thing of the host that a front-end uses, and what a test of it
// found. Tests use the feature; they do not believe what the host claims.
type Feature struct {
	// Name is a word or two, the same on every host.
	Name string `json:"name"`
	// Required is true when the front-end cannot run without it.
	Required bool         `json:"required"`
	State    FeatureState `json:"state"`
	// Found is what the test saw, in a few words.
	Found string `json:"found,omitempty"`
	// Fix is what to do about a feature that is missing: one line, with the command
	// to type where there is one.
	Fix string `json:"fix,omitempty"`
}

// Features are the results of a front-end's tests, in the order in which they were
// made: what a feature depends on comes before it.
type Features []Feature

// Usable reports whether a front-end runs with them: nothing required is missing.
func (fs Features) Usable() bool {
	_, missing := fs.Obstacle()
	return !missing
}

// Complete reports whether all of them are there.
func (fs Features) Complete() bool {
	for _, f := range fs {
		if f.State != FeaturePresent {
			return false
		}
	}
	return true
}

// Obstacle returns the first required feature that is not there.
func (fs Features) Obstacle() (f Feature, missing bool) {
	for _, f := range fs {
		if f.Required && f.State != FeaturePresent {
			return f, true
		}
	}
	return Feature{}, false
}
