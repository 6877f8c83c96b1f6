/* "config check FILE": each daemon knows its own configuration, so each is asked (--check-config);
 * the right one is the one that takes the file, or else the one that got furthest into it. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin_api/ctl.h"
#include "admin_api/ctl_opts.h"
#include "base/mem.h"

enum { SAID_MAX = 2048, NOT_THERE = 127 };

static const char *const DAEMONS[] = {"headgate", "headgate-prov", "headgate-admin", "headgate-li",
                                      NULL};

struct verdict {
    int code;            /* its exit code; NOT_THERE: there is no such program */
    char said[SAID_MAX]; /* its first line */
};

/* The programs stand side by side. */
static bool find_program(const char *name, char path[PATH_MAX])
{
    char self[PATH_MAX - 64];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n <= 0) {
        return false;
    }
    self[n] = 0;
    snprintf(path, PATH_MAX, "%s/%s", dirname(self), name);
    return access(path, X_OK) == 0;
}

static void read_first_line(int fd, char said[SAID_MAX])
{
    size_t n = 0;
    ssize_t got = 0;
    char rest[512];

    while (n < SAID_MAX - 1 && (got = read(fd, said + n, SAID_MAX - 1 - n)) > 0) {
        n += (size_t)got;
    }
    said[n] = 0;
    said[strcspn(said, "\n")] = 0;
    while (read(fd, rest, sizeof rest) > 0) { /* so that it can end */
    }
}

static void run(const char *program, const char *file, struct verdict *out)
{
    char path[PATH_MAX],
        *argv[] = {path, (char[]){"--config"}, NULL, (char[]){"--check-config"}, NULL};
    char *environment[] = {NULL}, *copy = mem_strdup(file);
    posix_spawn_file_actions_t actions;
    int pipes[2] = {-1, -1}, status = 0;
    pid_t pid = 0;

    *out = (struct verdict){.code = NOT_THERE};
    argv[2] = copy;
    if (copy == NULL || !find_program(program, path) || pipe2(pipes, O_CLOEXEC) != 0) {
        mem_free(copy);
        return;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipes[1], STDERR_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (posix_spawn(&pid, path, &actions, NULL, argv, environment) == 0) {
        close(pipes[1]);
        pipes[1] = -1;
        read_first_line(pipes[0], out->said);
        if (waitpid(pid, &status, 0) == pid) {
            out->code = WIFEXITED(status) ? WEXITSTATUS(status) : CTL_BROKEN;
        }
    }
    posix_spawn_file_actions_destroy(&actions);
    close(pipes[0]);
    if (pipes[1] >= 0) {
        close(pipes[1]);
    }
    mem_free(copy);
}

/* "file:LINE:COLUMN: what": the line; 0: it says none. */
static uint64_t line_of(const char *said, const char *file)
{
    size_t n = strlen(file);
    struct view rest;
    uint64_t line = 0;
    size_t colon = 0;

    if (strncmp(said, file, n) != 0 || said[n] != ':') {
        return 0;
    }
    rest = view_of(said + n + 1);
    return view_find(rest, ':', &colon) &&
                   view_to_u64(view_sub(rest, 0, colon), UINT32_MAX, &line) == E_OK
               ? line
               : 0;
}

static int judge(const struct ctl *c, const char *file, const char *program,
                 const struct verdict *v)
{
    if (v->code == 0) {
        ctl_say(c,
                (const char *const[]){"file", file, "program", program, "verdict", "good", NULL});
        return CTL_OK;
    }
    if (v->code == NOT_THERE) {
        return ctl_fail(CTL_BROKEN, "%s: not installed beside headgatectl", program);
    }
    return ctl_fail(CTL_CONFIG, "as a configuration of %s: %s", program, v->said);
}

int ctl_config_check(struct ctl *c, struct ctl_args *a)
{
    unsigned chosen = 0, best = 0;
    struct verdict v[sizeof DAEMONS / sizeof DAEMONS[0]];
    struct opts o = {.a = a};
    unsigned before = 0;

    opt_choice(&o, "--program", DAEMONS, &chosen);
    before = o.taken;
    opt_end(&o, 1,
            "config check FILE [--program headgate|headgate-prov|headgate-admin|headgate-li]");
    if (o.rc != CTL_OK) {
        return o.rc;
    }
    if (before > 0) {
        run(DAEMONS[chosen], a->v[0], &v[0]);
        return judge(c, a->v[0], DAEMONS[chosen], &v[0]);
    }
    for (unsigned i = 0; DAEMONS[i] != NULL; i++) {
        bool better = false;
        run(DAEMONS[i], a->v[0], &v[i]);
        better = v[best].code != 0 && v[i].code != NOT_THERE &&
                 (v[i].code == 0 || v[best].code == NOT_THERE ||
                  line_of(v[i].said, a->v[0]) > line_of(v[best].said, a->v[0]));
        best = better ? i : best;
    }
    return judge(c, a->v[0], DAEMONS[best], &v[best]);
}
