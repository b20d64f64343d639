//! A folder in one file: for each file its path, its length, and its bytes without the zeros at its end.

use std::fs;
use std::path::Path;

/// Writes a folder's files into one.
pub fn pack(folder: &Path, to: &Path) {
    let mut files = Vec::new();
    collect(folder, folder, &mut files);
    files.sort();
    let mut out = Vec::new();
    for (name, bytes) in files {
        let kept = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for number in [name.len(), bytes.len(), kept] {
            out.extend_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
        }
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&bytes[..kept]);
    }
    fs::write(to, out).unwrap();
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.push((name, fs::read(path).unwrap()));
        }
    }
}

/// Writes the files of a packed folder into another folder.
pub fn unpack(from: &Path, folder: &Path) {
    let packed = fs::read(from).unwrap();
    let mut rest = &packed[..];
    while !rest.is_empty() {
        let number = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
        let (name, len, kept) = (number(0), number(4), number(8));
        let (name, bytes) = rest[12..12 + name + kept].split_at(name);
        let path = folder.join(std::str::from_utf8(name).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut whole = bytes.to_vec();
        whole.resize(len, 0);
        fs::write(path, whole).unwrap();
        rest = &rest[12 + name.len() + kept..];
    }
}
