#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, EXIT_IO = 74, EXIT_CONFIG = 78 };

void proc_harden(void)
{
    const struct rlimit none = {0, 0};
    int fd = open("/dev/null", O_RDWR);

    while (fd >= 0 && fd < 3) { /* stdio always open, so that no socket becomes "stderr" */
        fd = open("/dev/null", O_RDWR);
    }
    if (fd > 2) {
        close(fd);
    }
    umask(077);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGPIPE, SIG_IGN);
}

void proc_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t n = path != NULL ? strlen(path) : 0;
    int fd = -1;

    if (n == 0 || n >= sizeof sa.sun_path || (path[0] != '/' && path[0] != '@')) {
        return;
    }
    memcpy(sa.sun_path, path, n);
    if (sa.sun_path[0] == '@') {
        sa.sun_path[0] = 0; /* abstract socket */
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&sa,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0) {
            LOG(LV_DEBUG, "proc.notify_failed", KV("state", state));
        }
        close(fd);
    }
}

void proc_signals(bool taken)
{
    sigset_t asked;

    sigemptyset(&asked);
    sigaddset(&asked, SIGTERM);
    sigaddset(&asked, SIGINT);
    sigaddset(&asked, SIGHUP);
    pthread_sigmask(taken ? SIG_UNBLOCK : SIG_BLOCK, &asked, NULL);
}

void proc_ending(void)
{
    proc_signals(false);
}

static void usage(FILE *to, const char *prog, const char *about)
{
    fprintf(to,
            "%s - %s\n\nusage: %s [--config FILE] [--check-config] [--print-config]\n"
            "       [--log-level error|warn|info|debug] [--version] [--help]\n\n"
            "  --config FILE    YAML configuration; without it every setting has its default\n"
            "  --check-config   read it, say what is wrong (file:line:column), exit 0 or 78\n"
            "  --print-config   print it with the defaults filled in; no secret is shown\n\n"
            "signals: SIGTERM drains and stops, SIGHUP reads the configuration again\n",
            prog, about, prog);
}

static _Noreturn void usage_error(const char *prog, const char *what, const char *arg)
{
    fprintf(stderr, "%s: %s %s; --help says more\n", prog, what, arg);
    exit(EXIT_USAGE);
}

void proc_cli(int argc, char **argv, const char *prog, const char *about, struct proc_cli *out)
{
    struct proc_cli cli = {.level = LV_INFO};

    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        bool last = i + 1 >= argc;
        if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
            usage(stdout, prog, about);
            exit(0);
        } else if (strcmp(a, "--version") == 0) {
            printf("%s %s\n", prog, HEADGATE_VERSION);
            exit(0);
        } else if (strcmp(a, "--check-config") == 0) {
            cli.check = true;
        } else if (strcmp(a, "--print-config") == 0) {
            cli.print = true;
        } else if (strcmp(a, "--config") == 0 && !last) {
            cli.config = argv[++i];
        } else if (strcmp(a, "--log-level") == 0 && !last) {
            if (log_level_parse(view_of(argv[++i]), &cli.level) != E_OK) {
                usage_error(prog, "no log level", argv[i]);
            }
        } else {
            usage_error(prog, "unknown or incomplete option", a);
        }
    }
    log_init(prog, cli.level);
    *out = cli;
}

struct conf *proc_conf(const struct proc_cli *cli, const struct conf_field *fields, size_t n,
                       void *into)
{
    struct conf *conf = NULL;
    char why[512];

    if (conf_load(cli->config, fields, n, into, why, sizeof why, &conf) != E_OK) {
        fprintf(stderr, "%s\n", why);
        exit(EXIT_CONFIG);
    }
    if (cli->print) {
        conf_print(conf, stdout);
    } else if (cli->check) {
        printf("%s: ok\n", cli->config != NULL ? cli->config : "defaults");
    }
    if (cli->print || cli->check) {
        conf_free(conf);
        exit(fflush(stdout) == 0 ? 0 : EXIT_IO);
    }
    return conf;
}

static enum err write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return FAIL(E_IO);
        }
        p += put;
        n -= (size_t)put;
    }
    return fsync(fd) == 0 ? E_OK : FAIL(E_IO);
}

/* Without it a power cut may take back the new name. */
static enum err sync_folder_of(const char *path)
{
    char folder[4096] = ".";
    const char *slash = strrchr(path, '/');
    enum err e = E_OK;
    int fd = -1;

    if (slash != NULL) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path) + 1, path);
    }
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL && errno != EROFS)) {
        e = FAIL(E_IO);
    }
    if (fd >= 0) {
        close(fd);
    }
    return e;
}

enum err proc_write_file(const char *path, unsigned mode, const void *p, size_t n)
{
    char temp[4096];
    enum err e = E_IO;
    int fd = -1;

    /* The number is the thread's: two writers of one file do not share the other name. */
    if ((size_t)snprintf(temp, sizeof temp, "%s.new.%ld", path, (long)gettid()) >= sizeof temp) {
        return FAIL(E_RANGE);
    }
    unlink(temp); /* left by one that died, or put there by somebody who wants to keep it open */
    fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return FAIL(E_IO);
    }
    e = fchmod(fd, mode) == 0 ? write_all(fd, p, n) : FAIL(E_IO);
    if (close(fd) != 0 || (e == E_OK && rename(temp, path) != 0)) {
        e = FAIL(E_IO);
    }
    if (e != E_OK) {
        unlink(temp);
        return e;
    }
    return sync_folder_of(path);
}
