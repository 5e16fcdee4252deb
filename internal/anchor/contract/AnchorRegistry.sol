// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title  A notice board for the heads of append-only logs.
/// @notice Keeps, for each log, the size and the root of the newest head that its anchorer has shown, and
///         accepts another only with the RFC 6962 proof that the old log is a prefix of the new one. So a
///         history that has been anchored can be continued, and cannot be exchanged for another, by anybody.
/// @dev    Nobody stands above the owners of logs: no admin, no upgrade, no pause, and no function that takes
///         funds. docs/spec/anchor.md is the specification.
contract AnchorRegistry {
    /// An anchor reads and writes the first two slots alone.
    struct Log {
        address anchorer; // may anchor; zero: nobody may
        uint64 size; // of the last anchored head; zero: none yet
        bytes32 root; // of the last anchored head
        address owner; // appoints the anchorer; zero: there is no such log
        address offeredTo; // may become the owner; zero: nobody may
    }

    event Created(bytes32 indexed id, address indexed creator, bytes32 originHash, address anchorer);
    event Anchored(bytes32 indexed id, uint64 previousSize, uint64 size, bytes32 root);
    event AnchorerChanged(bytes32 indexed id, address anchorer);
    event OwnershipOffered(bytes32 indexed id, address offeredTo);
    event OwnershipTaken(bytes32 indexed id, address owner);

    error AlreadyCreated(bytes32 id);
    error NotOwner(bytes32 id);
    error NotOffered(bytes32 id);
    error NotAnchorer(bytes32 id);
    error NotGrowing(uint64 previousSize, uint64 size);
    error ZeroRoot();
    error Inconsistent(uint64 previousSize, uint64 size);
    error NoSha256();

    /// @notice The state of a log; all zero where there is none.
    mapping(bytes32 id => Log) public logs;

    /// @dev Where no precompiled contract answers, a call of it succeeds and hashes nothing. Such a chain is
    ///      refused once, here, rather than at each hash.
    constructor() {
        if (sha256("") != 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855) revert NoSha256();
    }

    /// @notice Makes a log that the caller owns.
    /// @dev    The creator is part of the id, so that nobody can take somebody else's id.
    function create(bytes32 originHash, address anchorer) external returns (bytes32 id) {
        id = keccak256(abi.encode(msg.sender, originHash));
        Log storage log = logs[id];
        if (log.owner != address(0)) revert AlreadyCreated(id);
        log.owner = msg.sender;
        log.anchorer = anchorer;
        emit Created(id, msg.sender, originHash, anchorer);
    }

    /// @notice Anchors the head of size `size` and root `root`.
    /// @param  proof The RFC 6962 consistency proof from the last anchored head to this one, empty where
    ///         there is none yet.
    function anchor(bytes32 id, uint64 size, bytes32 root, bytes32[] calldata proof) external {
        Log storage log = logs[id];
        uint64 previous = log.size;
        if (msg.sender != log.anchorer) revert NotAnchorer(id);
        if (size <= previous) revert NotGrowing(previous, size);
        if (root == 0) revert ZeroRoot();
        if (!isConsistent(previous, log.root, size, root, proof)) revert Inconsistent(previous, size);
        log.size = size;
        log.root = root;
        emit Anchored(id, previous, size, root);
    }

    /// @notice Appoints the anchorer, which is the only address that may anchor; zero stops anchoring.
    function setAnchorer(bytes32 id, address anchorer) external {
        Log storage log = ownedLog(id);
        log.anchorer = anchorer;
        emit AnchorerChanged(id, anchorer);
    }

    /// @notice Offers the log to another owner; zero takes an offer back.
    function offerOwnership(bytes32 id, address to) external {
        Log storage log = ownedLog(id);
        log.offeredTo = to;
        emit OwnershipOffered(id, to);
    }

    /// @notice Makes the caller, to whom the log was offered, its owner.
    function takeOwnership(bytes32 id) external {
        Log storage log = logs[id];
        if (msg.sender != log.offeredTo) revert NotOffered(id);
        log.owner = msg.sender;
        log.offeredTo = address(0);
        emit OwnershipTaken(id, msg.sender);
    }

    function ownedLog(bytes32 id) private view returns (Log storage log) {
        log = logs[id];
        if (msg.sender != log.owner) revert NotOwner(id);
    }

    /// @dev RFC 9162, section 2.1.4.2, with its names; first < second. From the empty log only the empty
    ///      proof leads, as in RFC 6962, section 2.1.2. Each turn of the loop shifts sn or fails, so that no
    ///      proof makes more than 64.
    function isConsistent(
        uint64 first,
        bytes32 firstHash,
        uint64 second,
        bytes32 secondHash,
        bytes32[] calldata path
    ) private view returns (bool) {
        if (first == 0) return path.length == 0;
        unchecked {
            uint256 fn = uint256(first) - 1;
            uint256 sn = uint256(second) - 1;
            uint256 next; // of path
            bytes32 fr = firstHash;
            if ((first & fn) != 0) {
                // Not a power of two: the path begins with the last complete subtree of the old log.
                if (path.length == 0) return false;
                fr = path[next++];
            }
            bytes32 sr = fr;
            while ((fn & 1) == 1) {
                fn >>= 1;
                sn >>= 1;
            }
            for (; next < path.length; ++next) {
                if (sn == 0) return false;
                bytes32 c = path[next];
                if ((fn & 1) == 1 || fn == sn) {
                    fr = hashNode(c, fr);
                    sr = hashNode(c, sr);
                    while ((fn & 1) == 0 && fn != 0) {
                        fn >>= 1;
                        sn >>= 1;
                    }
                } else {
                    sr = hashNode(sr, c);
                }
                fn >>= 1;
                sn >>= 1;
            }
            return sn == 0 && fr == firstHash && sr == secondHash;
        }
    }

    /// @dev SHA-256(0x01 || left || right). Solidity's sha256(abi.encodePacked(...)) copies its input through
    ///      a new piece of memory each time, which costs more than the hash.
    function hashNode(bytes32 left, bytes32 right) private view returns (bytes32 h) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore8(p, 1)
            mstore(add(p, 1), left)
            mstore(add(p, 33), right)
            // It fails for want of gas alone.
            if iszero(staticcall(gas(), 2, p, 65, 0, 32)) { revert(0, 0) }
            h := mload(0)
        }
    }
}
