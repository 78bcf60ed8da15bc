//! Lines on their way to whoever reads them, who may stop reading: nobody who answers requests waits for that.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of lines that wait; what comes beyond is lost.
const MOST_BYTES: usize = 1 << 20;

/// Lines that one thread writes.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Bytes of these, and of the one that is being written.
    bytes: usize,
    /// Lines that found no room and were not told of yet.
    lost: u64,
}

impl Queue {
    /// Writes what comes, for ever. How many lines were lost is a line of its own, behind those that were not.
    pub(super) fn write_to(&self, mut out: impl Write) {
        loop {
            let is_idle = |state: &mut State| state.lines.is_empty() && state.lost == 0;
            let mut state = self.changed.wait_while(self.state(), is_idle).unwrap_or_else(PoisonError::into_inner);
            let Some(line) = state.lines.pop_front() else {
                let lines = state.lost;
                drop(state);
                tracing::warn!(lines, "lines of the log were lost: nobody read it for a while");
                // Whoever waits for all waits for that line, too.
                self.state().lost -= lines;
                self.changed.notify_all();
                continue;
            };
            drop(state);
            // Nobody is left to be told.
            let _ = out.write_all(&line);
            self.state().bytes -= line.len();
            self.changed.notify_all();
        }
    }

    /// Waits until all is written, for a while.
    pub(super) fn flush(&self, patience: Duration) {
        let is_waiting = |state: &mut State| state.bytes > 0 || state.lost > 0;
        drop(self.changed.wait_timeout_while(self.state(), patience, is_waiting));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for &Queue {
    /// Takes a line, or counts it as lost.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let mut state = self.state();
        if state.bytes + line.len() > MOST_BYTES {
            state.lost += 1;
        } else {
            state.bytes += line.len();
            state.lines.push_back(line.to_vec());
            self.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::config::Level;
    use crate::telemetry::subscriber;

    /// Somebody who reads a line when he is asked to.
    struct Reader(Receiver<()>, Sender<String>);

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.recv().map_err(std::io::Error::other)?;
            self.1.send(String::from_utf8_lossy(line).into_owned()).map_err(std::io::Error::other)?;
            Ok(line.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_whoever_reads_the_log_and_what_is_lost_is_told() {
        let queue: &Queue = Box::leak(Box::default());
        let ((next, asked), (said, lines)) = (channel(), channel());
        std::thread::spawn(move || {
            let told = subscriber(Level::Info, false, move || queue);
            tracing::subscriber::with_default(told, || queue.write_to(Reader(asked, said)));
        });
        let mut at = queue;
        for _ in 0..5 {
            at.write_all(&vec![b'x'; MOST_BYTES / 4]).unwrap();
        }
        queue.flush(Duration::from_millis(20));
        assert!(lines.try_recv().is_err());
        (0..5).for_each(|_| next.send(()).unwrap());
        let lines: Vec<String> = (0..5).map(|_| lines.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
        queue.flush(Duration::from_secs(20));
        assert!(
            queue.state().bytes == 0 && lines[4].contains("lines of the log were lost") && lines[4].ends_with("lines=1\n"),
            "{lines:?}"
        );
    }
}
