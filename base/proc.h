/* base/proc.h - what every daemon does to its process before it does anything else, and the common
 * command line: --config FILE, --check-config, --print-config, --log-level L, --version, --help. */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include <stdbool.h>

#include "base/conf.h"
#include "base/log.h"

#define HEADGATE_VERSION "0.1.0"

/* umask 077, PR_SET_DUMPABLE 0, RLIMIT_CORE 0, SIGPIPE ignored, stdio descriptors open,
 * libosip-free: nothing of any library. First call in main. */
void proc_harden(void);
/* systemd's notification socket (sd_notify protocol); nothing happens when NOTIFY_SOCKET is unset.
 */
void proc_notify(const char *state); /* "READY=1", "STOPPING=1", "RELOADING=1", "WATCHDOG=1" */

/* The end has begun: further SIGTERM, SIGINT and SIGHUP of the calling thread change nothing.
 * Before the handlers go, because what follows (last records, goodbyes) must not be cut short. */
void proc_ending(void);

/* SIGTERM, SIGINT and SIGHUP: held back (taken false) while threads are made, so that these are
 * never interrupted, then for the calling thread alone, which is the main one. */
void proc_signals(bool taken);

struct proc_cli {
    const char *config; /* path or NULL */
    bool check, print;
    enum log_level level;
};
/* Parses the common options; prints and exits itself for --help, --version and usage errors
 * (EX_USAGE 64). `about` is one line. */
void proc_cli(int argc, char **argv, const char *prog, const char *about, struct proc_cli *out);
/* Loads, and for --check-config/--print-config prints and exits (0, or EX_CONFIG 78). On a bad file
 * prints "file:line:column: what" and exits 78. */
struct conf *proc_conf(const struct proc_cli *cli, const struct conf_field *fields, size_t n,
                       void *into);
/* Writes bytes to path by a temporary file in its folder, fsync, rename, fsync of the folder; mode
 * as given. E_IO; E_RANGE: path too long. */
MUST_CHECK enum err proc_write_file(const char *path, unsigned mode, const void *p, size_t n);

#endif
