//! System calls: seccomp. A list of what is refused, not of what is allowed, because what a C library needs changes with
//! its version; the unit files in `deploy/systemd/` add a list of what is allowed.

use std::{collections::BTreeMap, env::consts::ARCH};

use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter,
};

use crate::Holds;

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It cannot be built.
    #[error("the filter cannot be built: {0}")]
    Build(#[from] BackendError),
    /// The kernel refuses it.
    #[error("the filter is refused: {0}")]
    Refused(#[from] seccompiler::Error),
}

/// What neither daemon ever does: start a program; look into or take from another process; change what is mounted, or
/// see another part of the system; load code into the kernel; set the clock; open files past the path.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_personality,
    libc::SYS_open_by_handle_at,
];

pub(crate) fn confine() -> Result<Holds, FilterError> {
    let Ok(arch) = TargetArch::try_from(ARCH) else {
        return Ok(Holds::Not);
    };
    // Without conditions: whatever the arguments.
    let rules: BTreeMap<i64, _> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let program: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()?;
    match apply_filter(&program) {
        Ok(()) => Ok(Holds::Wholly),
        Err(error) if is_unknown(&error) => Ok(Holds::Not),
        Err(error) => Err(error.into()),
    }
}

/// Whether the kernel was built without filters, or an outer sandbox does not let one be added.
fn is_unknown(error: &seccompiler::Error) -> bool {
    use seccompiler::Error::{Prctl, Seccomp};
    let (Prctl(error) | Seccomp(error)) = error else {
        return false;
    };
    let refused = [libc::EINVAL, libc::ENOSYS, libc::EPERM, libc::EACCES];
    error
        .raw_os_error()
        .is_some_and(|errno| refused.contains(&errno))
}
