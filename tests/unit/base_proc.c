/* Processes: files that are replaced whole or not at all, the common command line, hardening. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/proc.h"

static char dir[64], path[96];

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/procXXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/f", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir); /* fails when a temporary file was left */
}

static void check(const char *want, size_t n, mode_t mode)
{
    char got[256];
    struct stat st;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fread(got, 1, sizeof got, f), n);
    assert_memory_equal(got, want, n);
    assert_int_equal(fstat(fileno(f), &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
    fclose(f);
}

static size_t files(void)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while (readdir(d) != NULL) {
        n++;
    }
    closedir(d);
    return n - 2;
}

static void replaces_whole(void **state)
{
    (void)state;
    mode_t old = umask(077);
    assert_int_equal(proc_write_file(path, 0644, "a\0b", 3), E_OK);
    check("a\0b", 3, 0644); /* whatever the umask */
    umask(0);
    assert_int_equal(proc_write_file(path, 0600, "", 0), E_OK);
    check("", 0, 0600);
    int reader = open(path, O_RDONLY); /* who reads goes on reading the old one */
    assert_int_equal(proc_write_file(path, 0640, "new", 3), E_OK);
    char c;
    assert_int_equal(read(reader, &c, 1), 0);
    close(reader);
    check("new", 3, 0640);
    assert_int_equal(files(), 1);
    umask(old);
}

static void leaves_the_old_one(void **state)
{
    (void)state;
    static char big[100000], deep[5000];
    struct rlimit was, small;
    char trap[160], link[96];
    assert_int_equal(proc_write_file(path, 0600, "old", 3), E_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 5000; /* a full disk */
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(proc_write_file(path, 0600, big, sizeof big), E_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    check("old", 3, 0600);
    assert_int_equal(files(), 1);
    assert_int_equal(proc_write_file("/nowhere/f", 0600, "x", 1), E_IO);
    assert_int_equal(proc_write_file(dir, 0600, "x", 1), E_IO); /* a folder is in the way */
    memset(deep, 'd', sizeof deep - 1);
    assert_int_equal(proc_write_file(deep, 0600, "x", 1), E_RANGE);
    /* Somebody has put a link where the temporary file will be. */
    snprintf(trap, sizeof trap, "%s.new.%ld", path, (long)gettid());
    snprintf(link, sizeof link, "%s/victim", dir);
    assert_int_equal(symlink(link, trap), 0);
    assert_int_equal(proc_write_file(path, 0600, "new", 3), E_OK);
    assert_int_equal(access(link, F_OK), -1);
    check("new", 3, 0600);
    assert_int_equal(files(), 1);
}

static void in_this_folder(void **state)
{
    (void)state;
    char was[4096];
    assert_non_null(getcwd(was, sizeof was));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(proc_write_file("f", 0600, "here", 4), E_OK);
    assert_int_equal(chdir(was), 0);
    check("here", 4, 0600);
}

/* ---- in a child: what ends or changes the process -------------------------------------------- */
struct settings {
    uint64_t n;
};
static const struct conf_field FIELDS[] = {{"a.n", CONF_UINT, 0, "1", 0, 5, "a number"}};

static int run(int argc, const char *const *argv, char *said, size_t max)
{
    int out[2], status = 0;
    size_t n = 0;
    assert_int_equal(pipe(out), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct proc_cli cli;
        struct settings s;
        char *v[8];
        dup2(out[1], 1);
        dup2(out[1], 2);
        for (int i = 0; i < argc; i++) {
            v[i] = (char *)(uintptr_t)argv[i];
        }
        proc_cli(argc, v, "unit", "a test", &cli);
        struct conf *c = proc_conf(&cli, FIELDS, 1, &s);
        printf("went on, %d %llu\n", (int)cli.level, (unsigned long long)s.n);
        conf_free(c);
        fflush(stdout);
        _exit(0);
    }
    close(out[1]);
    for (ssize_t got = 1; got > 0 && n + 1 < max; n += (size_t)(got > 0 ? got : 0)) {
        got = read(out[0], said + n, max - 1 - n);
    }
    said[n] = 0;
    close(out[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void command_line(void **state)
{
    (void)state;
    const struct {
        const char *args[4], *says;
        int code;
    } rows[] = {
        {{NULL}, "went on, 2 1", 0},
        {{"--log-level", "debug"}, "went on, 3 1", 0},
        {{"--config", path}, "went on, 2 3", 0},
        {{"--config", path, "--check-config"}, ": ok\n", 0},
        {{"--check-config"}, "defaults: ok\n", 0},
        {{"--print-config", "--config", path}, "n: 3\n", 0},
        {{"--help"}, "unit - a test\n", 0},
        {{"--version"}, "unit " HEADGATE_VERSION "\n", 0},
        {{"--config"}, "--config", 64},
        {{"--log-level", "loud"}, "loud", 64},
        {{"--nope"}, "--nope", 64},
        {{"nope"}, "nope", 64},
        {{"--config", "/nowhere/c"}, "/nowhere/c:0:0: cannot be read", 78},
    };
    assert_int_equal(proc_write_file(path, 0600, "a: {n: 3}\n", 10), E_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *argv[5] = {"unit"};
        char said[2048];
        int argc = 1;
        for (; argc < 5 && rows[i].args[argc - 1] != NULL; argc++) {
            argv[argc] = rows[i].args[argc - 1];
        }
        int code = run(argc, argv, said, sizeof said);
        if (code != rows[i].code || strstr(said, rows[i].says) == NULL) {
            fail_msg("row %zu: %d: %s", i, code, said);
        }
    }
    assert_int_equal(proc_write_file(path, 0600, "a: {n: 9}\n", 10), E_OK);
    char said[2048], want[160];
    const char *argv[] = {"unit", "--config", path, "--check-config"};
    assert_int_equal(run(4, argv, said, sizeof said), 78);
    snprintf(want, sizeof want, "%s:1:8: a.n: 9, not within 0..5\n", path);
    assert_string_equal(said, want);
}

static int hardened(void)
{
    struct rlimit core;
    struct sigaction sa;
    close(0);
    close(2);
    proc_harden();
    if (prctl(PR_GET_DUMPABLE) != 0 || umask(0) != 077 || getrlimit(RLIMIT_CORE, &core) != 0 ||
        core.rlim_cur != 0 || core.rlim_max != 0 || sigaction(SIGPIPE, NULL, &sa) != 0 ||
        sa.sa_handler != SIG_IGN) {
        return 1;
    }
    for (int fd = 0; fd < 3; fd++) { /* open, and open still in whoever we start */
        if (fcntl(fd, F_GETFD) != 0) {
            return 2 + fd;
        }
    }
    int next = dup(1);
    return next >= 3 ? 0 : 9;
}

static void hardening(void **state)
{
    (void)state;
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(hardened());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void notifies(void **state)
{
    (void)state;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    char got[64] = "";
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s/n", dir);
    assert_int_equal(bind(fd, (const struct sockaddr *)&sa, sizeof sa), 0);
    unsetenv("NOTIFY_SOCKET");
    proc_notify("NOBODY=1");
    setenv("NOTIFY_SOCKET", "relative", 1);
    proc_notify("NOBODY=1");
    setenv("NOTIFY_SOCKET", "/nowhere/n", 1);
    proc_notify("NOBODY=1");
    setenv("NOTIFY_SOCKET", sa.sun_path, 1);
    proc_notify("READY=1");
    assert_int_equal(recv(fd, got, sizeof got, MSG_DONTWAIT), 7);
    assert_memory_equal(got, "READY=1", 7);
    unlink(sa.sun_path);
    close(fd);
    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    memset(&sa, 0, sizeof sa); /* an abstract name */
    sa.sun_family = AF_UNIX;
    int n = snprintf(sa.sun_path + 1, sizeof sa.sun_path - 1, "unit%ld", (long)getpid());
    char name[128];
    snprintf(name, sizeof name, "@%s", sa.sun_path + 1);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    assert_int_equal(bind(fd, (const struct sockaddr *)&sa, size), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    proc_notify("STOPPING=1");
    assert_int_equal(recv(fd, got, sizeof got, MSG_DONTWAIT), 10);
    close(fd);
    unsetenv("NOTIFY_SOCKET");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaces_whole), cmocka_unit_test(leaves_the_old_one),
        cmocka_unit_test(in_this_folder), cmocka_unit_test(command_line),
        cmocka_unit_test(hardening),      cmocka_unit_test(notifies),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
