//! Which process on which machine, so that another can tell whether it is still there.
use super::hash::sha256_hex;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// A process, told apart from every other on every machine, earlier ones with its number included.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process {
    /// Of the running kernel and the numbering of its processes (containers have their own): 8 hexadecimal digits.
    pub kernel: String,
    pub number: u32,
    /// When it was started, in ticks of that kernel.
    pub started: u64,
}

impl Process {
    /// This process.
    pub fn current() -> &'static Process {
        static CURRENT: OnceLock<Process> = OnceLock::new();
        CURRENT.get_or_init(|| {
            let number = std::process::id();
            // Where the system does not tell, the moment of the first question is as good.
            let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let started = started(number).unwrap_or_else(|| now().map_or(0, |time| time.as_secs()));
            Process { kernel: kernel().to_string(), number, started }
        })
    }

    /// Whether it still runs; `None` for one that this kernel cannot tell of.
    pub fn is_alive(&self) -> Option<bool> {
        if self.kernel != kernel() || started(std::process::id()).is_none() {
            return None;
        }
        Some(started(self.number) == Some(self.started))
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.kernel, self.number, self.started)
    }
}

impl FromStr for Process {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-');
        let [Some(kernel), Some(number), Some(started), None] =
            [parts.next(), parts.next(), parts.next(), parts.next()]
        else {
            return Err(());
        };
        let is_kernel = kernel.len() == 8 && kernel.bytes().all(|byte| byte.is_ascii_hexdigit());
        let numbers = (number.parse(), started.parse());
        let (true, (Ok(number), Ok(started))) = (is_kernel, numbers) else { return Err(()) };
        Ok(Process { kernel: kernel.to_string(), number, started })
    }
}

/// Name of this machine, for people.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "this machine".to_string() } else { name.trim().to_string() }
}

fn kernel() -> &'static str {
    static KERNEL: OnceLock<String> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        sha256_hex(format!("{boot}{}{}", space.display(), host()).as_bytes())[..8].to_string()
    })
}

/// Start of a process in ticks since the kernel's: the 22nd value of `/proc/<number>/stat`, counted behind the name, which
/// may hold anything. One that has ended and is only still listed (a zombie) is not there any more.
fn started(number: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    let mut values = stat.rsplit_once(')')?.1.split_whitespace();
    let state = values.next()?;
    if matches!(state, "Z" | "X") { None } else { values.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_until_it_ends() {
        let this = Process::current();
        assert_eq!(this.to_string().parse(), Ok(this.clone()));
        assert_eq!(this.is_alive(), Some(true));
        let elsewhere = Process { kernel: "00000000".into(), ..this.clone() };
        assert_eq!(elsewhere.is_alive(), None);
        let earlier = Process { started: this.started.wrapping_sub(1), ..this.clone() };
        assert_eq!(earlier.is_alive(), Some(false), "its number was given to another");
        assert!("0000000-1-2".parse::<Process>().is_err() && "00000000-1-2-3".parse::<Process>().is_err());
    }
}
