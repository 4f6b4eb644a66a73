//go:build linux && amd64

package test

import (
	"fmt"
	"path/filepath"
	"testing"
)

// apacheCommand runs Apache with the threads of its event module in one child, which has another user
// where this test is root's. Files it maps, or reads, as their names say.
func apacheCommand(t *testing.T, dir string, port int) []string {
	t.Helper()
	site(t, dir)
	withFiles(map[string]string{"apache.conf": fmt.Sprintf(`
ServerRoot %[1]s
DefaultRuntimeDir %[1]s
PidFile %[1]s/apache.pid
Listen 127.0.0.1:%[2]d
ServerName localhost
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
DocumentRoot %[1]s/www
DirectoryIndex index.html
ErrorLog /dev/stderr
LogLevel crit
User #65534
Group #65534
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MaxRequestWorkers 16
MinSpareThreads 1
MaxSpareThreads 16
MaxKeepAliveRequests 0
KeepAliveTimeout 100
<FilesMatch "^small">
	EnableMMAP Off
</FilesMatch>
`, dir, port)})(t, dir)
	return []string{tool(t, "apache2"), "-DFOREGROUND", "-f", filepath.Join(dir, "apache.conf")}
}

// apacheLoad also fetches a file that is mapped.
func apacheLoad(t *testing.T, p *process, port int, light bool) {
	t.Helper()
	webLoad(t, p, port, light)
	wrk(t, "http://"+address(port)+"/", "1s")
}
