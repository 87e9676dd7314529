//! The session over standard input and output: one JSON object a line in, one a line out, flushed each time.

use std::io::{self, BufRead, Read, Write};

use onlyhere_proto::limits;

use super::session::Session;

/// Answers lines until the input ends. A reader that has gone away is no failure.
pub fn serve(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<()> {
    let mut session = Session::default();
    let mut line = Vec::new();
    let mut text = Vec::new();
    loop {
        line.clear();
        // One byte more than a line may have tells a long line from one that just fits.
        let limit = limits::MESSAGE as u64 + 1;
        let read = input.by_ref().take(limit).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        text.clear();
        if line.len() > limits::MESSAGE && line.last() != Some(&b'\n') {
            skip_to_end_of_line(input)?;
            session.refuse_long_line(&mut text);
        } else if line.trim_ascii().is_empty() {
            session.skip_blank_line();
            continue;
        } else {
            session.answer(&line, &mut text);
        }
        text.push(b'\n');
        match output.write_all(&text).and_then(|()| output.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
    }
}

fn skip_to_end_of_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let (used, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(used);
        if ended {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(input: &[u8]) -> Vec<serde_json::Value> {
        let mut output = Vec::new();
        serve(&mut io::BufReader::with_capacity(64, input), &mut output).unwrap();
        let lines = output
            .split(|byte| *byte == b'\n')
            .filter(|l| !l.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    #[test]
    fn a_line_too_long_is_refused_and_the_next_is_read() {
        let mut input = vec![b' '; limits::MESSAGE - 2];
        input.extend_from_slice(b"{}\n");
        input.extend(std::iter::repeat_n(b'[', limits::MESSAGE + 1));
        input.extend_from_slice(b"\n\n{\"now_ms\":0}");
        let answers = answers(&input);
        let said = |number: usize| answers[number]["error"].as_str().unwrap();
        assert_eq!(answers.len(), 3);
        assert!(said(0).contains("now_ms"), "{}", said(0));
        assert!(said(1).contains("4194304 bytes"), "{}", said(1));
        assert!(said(2).contains("no case has begun"), "{}", said(2));
        assert_eq!(answers[2]["line"], 4);
    }

    #[test]
    fn deep_nesting_and_bytes_that_are_no_text_are_refused() {
        let mut input = vec![b'['; 100_000];
        input.extend_from_slice(b"\n\xff\xfe\n\"\\ud800\"\n");
        for answer in answers(&input) {
            assert!(
                answer["error"].as_str().unwrap().contains("JSON"),
                "{answer}"
            );
        }
    }
}
