/* bti - a software broadband telephony interface: enroll, call, listen, status, credentials. */
#include <stdio.h>

#include "base/proc.h"
#include "bti/credentials.h"
#include "bti/dial.h"
#include "bti/enroll.h"
#include "bti/listen.h"
#include "bti/status.h"

int main(int argc, char **argv)
{
    struct options o;
    char why[OPTIONS_WHY_MAX];
    struct say say = {.machine = false, .to = stdout};

    proc_harden();
    if (options_parse(argc, argv, &o, why) != E_OK) {
        fprintf(stderr, "bti: %s (bti --help)\n", why);
        return BTI_EXIT_USAGE;
    }
    log_init("bti", o.log_level);
    say.machine = o.machine;
    switch (o.command) {
    case CMD_ENROLL:
        return enroll_run(&o, &say);
    case CMD_CALL:
        return dial_run(&o, &say);
    case CMD_LISTEN:
        return listen_run(&o, &say);
    case CMD_STATUS:
        return status_run(&o, &say);
    case CMD_CREDENTIALS:
        return credentials_run(&o, &say);
    case CMD_VERSION:
        printf("bti %s\n", HEADGATE_VERSION);
        return BTI_EXIT_OK;
    case CMD_HELP:
    case CMD_NONE:
        break;
    }
    fputs(options_usage(), stdout);
    return BTI_EXIT_OK;
}
